// What `xl info` tells of the runtime: the machine it runs on, and the Xen that its guests see.
import { arch, cpus, hostname, release, totalmem, version } from 'node:os';
import type { Registry } from './registry.ts';

const MIB = 1 << 20;

/** Keys in xl's order. `free_memory` is what the domains that run have not taken, so it holds still while none does. */
export function collectInfo(registry: Registry): Record<string, string | number> {
  const processors = cpus();
  const total = Math.floor(totalmem() / MIB);
  const used = registry
    .list()
    .filter(({ state }) => state === 'running' || state === 'creating')
    .reduce((sum, { memoryKiB }) => sum + memoryKiB / 1024, 0);
  return {
    host: hostname(),
    release: release(),
    version: version(),
    machine: arch() === 'x64' ? 'x86_64' : arch(),
    nr_cpus: processors.length,
    max_cpu_id: processors.length - 1,
    nr_nodes: 1,
    cores_per_socket: processors.length,
    threads_per_core: 1,
    // The clock of a guest: one instruction a nanosecond.
    cpu_mhz: '1000.000',
    hw_caps: '00000000:00000000:00000000:00000000:00000000:00000000:00000000:00000000',
    virt_caps: 'hvm hap gnttab-v1',
    total_memory: total,
    free_memory: Math.max(0, total - used),
    sharing_freed_memory: 0,
    sharing_used_memory: 0,
    outstanding_claims: 0,
    free_cpus: 0,
    xen_major: 4,
    xen_minor: 17,
    xen_extra: '.0-pvh-report',
    xen_version: '4.17.0-pvh-report',
    xen_caps: 'hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ',
    xen_scheduler: 'round-robin',
    xen_pagesize: 4096,
    platform_params: 'virt_start=0xffff800000000000',
    xen_changeset: '',
    xen_commandline: '',
    cc_compiler: `assemblyscript, node ${process.versions.node}`,
    cc_compile_by: '',
    cc_compile_domain: '',
    cc_compile_date: '',
    build_id: '',
    xend_config_format: 4,
  };
}
