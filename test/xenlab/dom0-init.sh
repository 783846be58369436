#!/bin/busybox sh
# init of the lab's dom0: file systems, Xen's daemons, then one job after the other: share/in/N.sh -> share/out/N.log and N.rc
export PATH=/xen/bin:/usr/bin:/bin HOME=/root TERM=dumb NO_COLOR=1 LD_LIBRARY_PATH=/xen/lib
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
chmod 1777 /tmp
mkdir -p /dev/pts /dev/shm /run/xen /run/xenstored /run/lock /share
mount -t devpts devpts /dev/pts
exec </dev/console >/dev/console 2>&1
hostname dom0
ip link set lo up
for module in $(cat /modules/order); do insmod "/modules/$module.ko"; done
mount -t xenfs xenfs /proc/xen
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 share /share || echo 'no share'
xenstored --pid-file /run/xenstored.pid
until xenstore-ls / >/dev/null 2>&1; do sleep 0.2; done
xen-init-dom0
xenconsoled --log=guest --timestamp=none --log-dir=/var/log/xen/console
mkdir /app
tar -x -f /share/app.tar -C /app
echo 'dom0 is ready'
while :; do
  for job in /share/in/*.sh; do
    [ -f "$job" ] || continue
    name=$(basename "$job" .sh)
    cp "$job" /tmp/job.sh
    rm "$job"
    sh /tmp/job.sh >/tmp/job.log 2>&1 </dev/null
    echo $? >/tmp/job.rc
    cp /tmp/job.log "/share/out/$name.log"
    cp /tmp/job.rc "/share/out/$name.part"
    mv "/share/out/$name.part" "/share/out/$name.rc"
  done
  sleep 0.3
done
