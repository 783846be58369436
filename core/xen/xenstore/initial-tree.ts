// The tree that a new domain finds: what libxl 4.17 writes for a PVH guest without devices. Data in, writes out.
import type { XenStore } from './store.ts';
import { homeOf, type Permission } from './tree.ts';

export interface InitialTreeOptions {
  readonly domid: number;
  readonly name: string;
  readonly uuid: string;
  readonly vcpus: number;
  /** KiB. */
  readonly memoryKiB: number;
  readonly maxMemoryKiB: number;
  readonly store: { readonly port: number; readonly gfn: number };
  readonly console: { readonly port: number; readonly gfn: number };
  /** Seconds since 1970, for /vm/<uuid>/start_time. */
  readonly startSeconds: number;
}

/** Fills `store`: /tool, /local/domain/0, the domain's home, /vm/<uuid>, /libxl/<domid>, in libxl's order. */
export function writeInitialTree(store: XenStore, options: InitialTreeOptions): void {
  const { domid, uuid } = options;
  const home = homeOf(domid);
  const backend = `/local/domain/0/backend/console/${domid}/0`;
  const readable: Permission[] = [
    { domid: 0, access: 'n' },
    { domid, access: 'r' },
  ];
  const own: Permission[] = [{ domid, access: 'n' }];
  const put = (path: string, value: string | number, permissions = readable): void =>
    store.write(path, String(value), permissions);
  const cpus = Array.from({ length: options.vcpus }, (_, n) => n);

  store.write('/tool/xenstored', '');
  const host: [string, string][] = [
    ['control/feature-poweroff', '1'],
    ['control/feature-reboot', '1'],
    ['control/feature-suspend', '1'],
    ['domid', '0'],
    ['name', 'Domain-0'],
  ];
  for (const [path, value] of host) store.write(`${homeOf(0)}/${path}`, value);

  put(`/vm/${uuid}`, '');
  put(`/vm/${uuid}/name`, options.name);
  put(`/vm/${uuid}/uuid`, uuid);
  put(`/vm/${uuid}/start_time`, options.startSeconds.toFixed(2));

  put(home, '');
  put(`${home}/vm`, `/vm/${uuid}`);
  put(`${home}/name`, options.name);
  put(`${home}/cpu`, '');
  for (const n of cpus) {
    put(`${home}/cpu/${n}`, '');
    put(`${home}/cpu/${n}/availability`, 'online');
  }
  put(`${home}/memory`, '');
  put(`${home}/memory/static-max`, options.maxMemoryKiB);
  put(`${home}/memory/target`, options.memoryKiB);
  put(`${home}/memory/videoram`, 0);
  put(`${home}/device`, '');
  put(`${home}/device/suspend`, '');
  put(`${home}/device/suspend/event-channel`, '', own);
  put(`${home}/control`, '');
  for (const each of ['shutdown', 'feature-poweroff', 'feature-reboot', 'feature-suspend', 'sysrq'])
    put(`${home}/control/${each}`, '', own);
  put(`${home}/control/platform-feature-multiprocessor-suspend`, 1);
  put(`${home}/control/platform-feature-xs_reset_watches`, 1);
  for (const each of ['data', 'drivers', 'feature', 'attr', 'error']) put(`${home}/${each}`, '', own);
  put(`${home}/domid`, domid);
  put(`${home}/store`, '');
  put(`${home}/store/port`, options.store.port);
  put(`${home}/store/ring-ref`, options.store.gfn);
  put(`${home}/console`, '');
  put(`${home}/console/backend`, backend);
  put(`${home}/console/backend-id`, 0, [
    { domid, access: 'n' },
    { domid: 0, access: 'r' },
  ]);
  put(`${home}/console/limit`, 1048576);
  put(`${home}/console/type`, 'xenconsoled');
  put(`${home}/console/output`, 'pty');
  put(`${home}/console/tty`, '');
  put(`${home}/console/port`, options.console.port);
  put(`${home}/console/ring-ref`, options.console.gfn);

  const back: [string, string | number][] = [
    ['frontend', `${home}/console`],
    ['frontend-id', domid],
    ['online', 1],
    ['state', 1],
    ['protocol', 'vt100'],
  ];
  for (const [path, value] of back) put(`${backend}/${path}`, value);

  const device = `/libxl/${domid}/device/console/0`;
  const libxl: [string, string | number][] = [
    [`${device}/frontend`, `${home}/console`],
    [`${device}/backend`, backend],
    [`${device}/frontend-id`, domid],
    [`${device}/online`, 1],
    [`${device}/state`, 1],
    [`${device}/protocol`, 'vt100'],
    [`/libxl/${domid}/type`, 'pvh'],
    [`/libxl/${domid}/dm-version`, 'qemu_xen'],
  ];
  for (const [path, value] of libxl) store.write(path, String(value));
}
