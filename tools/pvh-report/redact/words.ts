// Words that are nobody's: a private name that is one of these is replaced only where a rule says that it is a name, never
// wherever it stands. Not a list of what is private.

const list = (text: string): readonly string[] => text.trim().split(/\s+/);

/** What kernels, hypervisors and our own texts say anyway. */
const COMMON: readonly string[] = list(`
  root admin administrator user users guest guests host hosts server client localhost localdomain domain dom0 domain-0 domu node test
  tests prod production dev devel staging demo lab office home www web mail smtp ftp ssh dns ntp vpn nas proxy backup public private
  nobody daemon system systemd kernel linux debian ubuntu fedora redhat centos suse arch alpine xen xenolinux xenstore console unknown
  none null true false default local lan internal intranet corp com net org edu gov info example invalid arpa
  init swapper panic crash oops bug trap fault error failed fail warning watchdog shutdown reboot poweroff halt suspend preserve
  restart rename running paused dying lost dump live memory stack code trace call register registers vcpu vcpus name file files
  report manifest readme raw derived missing signature message where symbols machine online offline boot booting kernel cpu cpus tainted
  hardware command line version main start stop work worker thread task tasks process driver module modules disk block net
  network bridge eth0 xenbr0 tty hvc0 pvh hvm hypervisor hypercall runtime time clock seed state reason exit status
  password passwd secret token key login sample null-dereference deep-call-chain stack-overflow triple-fault bug-ud2 hang
  rax rbx rcx rdx rsi rdi rbp rsp rip eip rflags eflags efer gdt idt ldt tss msr lstar gs_base fs_base
  memory maxmem vcpus maxvcpus extra ramdisk cmdline on_crash on_reboot on_poweroff on_watchdog vif vbd vnc vfb disk uuid builder type
  device backend frontend control data feature state path image store port ring-ref event-channel domid tool libxl toolstack device-model
  xen_version xen_major xen_minor xen_extra xen_caps xen_commandline release machine free total cores threads sockets nodes
  this that with from into over under have does what which when then they there here not and the for are was all any
  wait idle event page table tables mount unable action required optional value type info debug notice log xl xenctx pvh-report
  gnu bash busybox sh service target session seat user@ slice scope timer socket
`);

/** Ends of host names that tell nothing: generic, private, and of countries where they are no ends of file names. */
const SUFFIXES: readonly string[] = list(`
  com net org edu gov mil int info biz io dev app cloud tech online site xyz co me tv eu
  local localdomain lan home internal intranet intra corp private arpa test example invalid
  box consul cluster svc localnet priv office network systems amsterdam berlin
  de uk fr it es nl be ch at se no fi dk pl cz ru ua jp cn kr in au nz br mx ca us ie pt gr hu ro il za tr sg hk tw
`);

/** Where software comes from: on every console, and private to nobody. Compared with the end of a name. */
const PUBLIC: readonly string[] = list(`
  kernel.org debian.org ubuntu.com canonical.com fedoraproject.org redhat.com suse.com opensuse.org archlinux.org alpinelinux.org
  xenproject.org xen.org freedesktop.org gnu.org infradead.org linux.dev linuxfoundation.org alioth.debian.org systemd.io
  busybox.net qemu.org github.com gitlab.com sourceware.org kernel.dk zx2c4.com oberhumer.com intel.com amd.com
`);

const common = new Set(COMMON);
const suffixes = new Set(SUFFIXES);

/** @param word in lower case. */
export const isCommon = (word: string): boolean => common.has(word);

/** @param label the last of a host name, in lower case. */
export const isSuffix = (label: string): boolean => suffixes.has(label);

/** @param name of a host or domain, in any case. */
export function isPublicName(name: string): boolean {
  const lower = name.toLowerCase();
  return PUBLIC.some((each) => lower === each || lower.endsWith(`.${each}`));
}

/** For a pattern: any of the suffixes. */
export const SUFFIX_PATTERN: string = [...SUFFIXES].sort((a, b) => b.length - a.length).join('|');
