// The subcommands of xl. Imports none of them: each is loaded when it is asked for, which keeps `xl list` quick.
import type { XlCommandRow } from './command.ts';

export const COMMANDS: readonly XlCommandRow[] = [
  {
    name: 'create',
    summary: 'Create a domain from config file <filename>',
    synopsis: '<ConfigFile> [options] [vars]',
    options: `-c                      Connect to the console after the domain is created.
-d                      Enable debug messages.
-e                      Do not wait in the background for the death of the domain:
                         whatever on_* says, it is preserved.
-F                      Run in foreground until death of the domain.
-f FILE, --defconfig=FILE
                        Use the given configuration file.
-h                      Print this help.
-n, --dryrun            Dry run - prints the resulting configuration.
-p                      Leave the domain paused after it is created.
-q, --quiet             Quiet.`,
    notes: `Keys of ours in the configuration:
wallclock="host"        The guest's clock starts at the host's time; also a date or
                         seconds since 1970. Default: 2026-01-01T00:00:00Z.
seed=N                  Where the guest's RDRAND starts (0).
time_lead=N             By how many seconds the time of an idle guest may run
                         ahead of the host's (60).`,
    minOperands: 0,
    load: () => import('./create.ts'),
  },
  {
    name: 'list',
    summary: 'List information about all/some domains',
    synopsis: '[options] [Domain]',
    options: `-l, --long              Output all VM details
-v, --verbose           Prints out UUIDs and security context
-Z, --context           Prints out security context
-c, --cpupool           Prints the cpupool the domain is in
-n, --numa              Prints out NUMA node affinity
--json                  Output what the table shows as JSON`,
    notes: `State: r running, b blocked, p paused, s shut down, then the reason (- poweroff,
r reboot, s suspend, c crash, w watchdog, S soft reset). "lost--" is a domain whose
process ended without a word (killed). There is no Domain-0 here.`,
    minOperands: 0,
    load: () => import('./list.ts'),
  },
  {
    name: 'destroy',
    summary: 'Terminate a domain immediately',
    synopsis: '[options] <Domain>',
    options: '-f                      Accepted as in xl; there is no domain 0 to protect here.',
    minOperands: 1,
    load: () => import('./destroy.ts'),
  },
  {
    name: 'shutdown',
    summary: 'Issue a shutdown signal to a domain',
    synopsis: '[options] <-a|Domain>',
    options: `-a, --all               Shutdown all guest domains.
-h                      Print this help.
-F                      Accepted as in xl; PVH guests take no ACPI event.
-w, --wait              Wait for guest(s) to shutdown.`,
    minOperands: 0,
    load: () => import('./shutdown.ts'),
  },
  {
    name: 'reboot',
    summary: 'Issue a reboot signal to a domain',
    synopsis: '[options] <-a|Domain>',
    options: `-a, --all               Reboot all guest domains.
-h                      Print this help.
-F                      Accepted as in xl; PVH guests take no ACPI event.
-w, --wait              Wait for guest(s) to reboot.`,
    minOperands: 0,
    load: () => import('./reboot.ts'),
  },
  {
    name: 'pause',
    summary: 'Pause execution of a domain',
    synopsis: '<Domain>',
    minOperands: 1,
    load: () => import('./pause.ts'),
  },
  {
    name: 'unpause',
    summary: 'Unpause a paused domain',
    synopsis: '<Domain>',
    minOperands: 1,
    load: () => import('./unpause.ts'),
  },
  {
    name: 'console',
    summary: "Attach to domain's console",
    synopsis: '[options] <Domain>',
    options: `-t <type>       console type: pv
-n <number>     console number: 0`,
    notes: 'Ctrl-] leaves. A domain that has shut down shows what it wrote last.',
    minOperands: 1,
    load: () => import('./console.ts'),
  },
  {
    name: 'dump-core',
    summary: 'Core dump a domain',
    synopsis: '<Domain> <filename>',
    minOperands: 2,
    load: () => import('./dump-core.ts'),
  },
  {
    name: 'vcpu-list',
    summary: 'List the VCPUs for all/some domains',
    synopsis: '[Domain, ...]',
    options: '--json                  Output what the table shows as JSON',
    minOperands: 0,
    load: () => import('./vcpu-list.ts'),
  },
  {
    name: 'info',
    summary: 'Get information about Xen host',
    synopsis: '[options] [Key]',
    options: `-n, --numa         List host NUMA topology information
--json             Output as JSON`,
    minOperands: 0,
    load: () => import('./info.ts'),
  },
  {
    name: 'domid',
    summary: 'Convert a domain name to domain id',
    synopsis: '<DomainName>',
    minOperands: 1,
    load: () => import('./domid.ts'),
  },
  {
    name: 'domname',
    summary: 'Convert a domain id to domain name',
    synopsis: '<DomainId>',
    minOperands: 1,
    load: () => import('./domname.ts'),
  },
  {
    name: 'rename',
    summary: 'Rename a domain',
    synopsis: '<Domain> <NewDomainName>',
    minOperands: 2,
    load: () => import('./rename.ts'),
  },
  {
    name: 'trigger',
    summary: 'Send a trigger to a domain',
    synopsis: '<Domain> <nmi|reset|init|power|sleep|s3resume> [<VCPU>]',
    notes: 'Only nmi does something to a PVH guest here.',
    minOperands: 2,
    load: () => import('./trigger.ts'),
  },
  {
    name: 'sysrq',
    summary: 'Send a sysrq to a domain',
    synopsis: '<Domain> <letter>',
    minOperands: 2,
    load: () => import('./sysrq.ts'),
  },
  {
    name: 'dmesg',
    summary: 'Read and/or clear dmesg buffer',
    synopsis: '[-c] [-T]',
    options: `-c, --clear               Clear dmesg buffer as well as printing it
  -T, --timestamps          Print when each line was written (host time, UTC)`,
    notes: 'The buffer holds 1 MiB (Xen: 16 KiB).',
    minOperands: 0,
    load: () => import('./dmesg.ts'),
  },
  {
    name: 'uptime',
    summary: 'Print uptime for all/some domains',
    synopsis: '[-s] [Domain]',
    options: '--json          Output as JSON',
    minOperands: 0,
    load: () => import('./uptime.ts'),
  },
];
