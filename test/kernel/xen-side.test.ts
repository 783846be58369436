// A stock Debian kernel against the Xen side: what the host does to a guest, and what a guest does to itself, by the
// guest's own account. One guest, one story; each step needs the ones before it.
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apicId } from '../../core/boot/layout.ts';
import { buildPvhGuest } from '../../core/boot/pvh.ts';
import { Domain, type DomainEvent } from '../../core/domain/domain.ts';
import { hostCodecs } from '../../core/host/codecs.ts';
import { Machine } from '../../core/machine/machine.ts';
import { guestCpuid } from '../../core/xen/cpuid.ts';
import { XenSide } from '../../core/xen/xen-side.ts';
import { memorySource } from '../../symbols/bytes.ts';
import { debianArchive, debianKernel } from '../support/debian.ts';
import { busyboxInitramfs, INIT_PROLOGUE } from '../support/initramfs.ts';
import { cpuModule } from '../support/machine.ts';

const VCPUS = 2;
const HOME = '/local/domain/1';
const version = { major: 4, minor: 17, extra: '.0-pvh-report' };
/** `poweroff -f` as Linux looks for it when Xen asks for a shutdown; then a shell on the console. */
const INIT = `${INIT_PROLOGUE}
mkdir -p /sbin
echo '#!/bin/busybox sh' > /sbin/poweroff
echo 'poweroff -f' >> /sbin/poweroff
chmod +x /sbin/poweroff
echo 1 > /proc/sys/kernel/sysrq
echo ready
exec sh
`;

class Session {
  readonly xen: XenSide;
  readonly domain: Domain;
  readonly log: string[] = [];
  console = '';
  #seen = 0;
  end: DomainEvent | undefined;

  constructor() {
    const machine = Machine.create({
      module: cpuModule(),
      ramBytes: 256 << 20,
      vcpus: VCPUS,
      cpuid: guestCpuid({ vendor: 'GenuineIntel', vcpus: VCPUS, domid: 1, version }),
      apicIds: Array.from({ length: VCPUS }, (_, vcpu) => apicId(vcpu)),
      seed: 1,
    });
    this.xen = new XenSide(machine, {
      domid: 1,
      uuid: '01234567-89ab-cdef-0123-456789abcdef',
      name: 'story',
      wallclockSeconds: 1_700_000_000,
      maxMemKiB: 256 << 10,
      version,
      vendor: 'GenuineIntel',
      onConsole: (bytes) => {
        this.console += Buffer.from(bytes).toString('latin1').replaceAll('\r', '');
      },
      onLog: (line) => this.log.push(line),
    });
    buildPvhGuest(machine, {
      kernel: memorySource('vmlinuz', readFileSync(debianKernel('linux-image-cloud-amd64').vmlinuz)),
      ramdisk: memorySource('initrd', busyboxInitramfs(INIT)),
      cmdline: 'console=hvc0 quiet',
      codecs: hostCodecs,
    });
    this.domain = new Domain(machine, this.xen, version);
  }

  /** Runs until the console says `pattern`, at most `seconds` of virtual time; what it said until then. */
  until(pattern: RegExp, seconds = 20): string {
    const limit = this.domain.now() + seconds * 1e9;
    while (this.domain.now() < limit && this.end === undefined) {
      const match = pattern.exec(this.console.slice(this.#seen));
      if (match !== null) {
        const text = this.console.slice(this.#seen, this.#seen + match.index + match[0].length);
        this.#seen += match.index + match[0].length;
        return text;
      }
      this.#step(limit);
    }
    throw new Error(`no ${pattern} in:\n${this.console.slice(this.#seen)}`);
  }

  untilEnd(): DomainEvent | undefined {
    const limit = this.domain.now() + 20e9;
    while (this.domain.now() < limit && this.end === undefined) this.#step(limit);
    return this.end;
  }

  #step(limit: number): void {
    const event = this.domain.run(2_000_000);
    if (event.kind === 'idle') this.domain.skipTo(event.until ?? limit);
    if (event.kind === 'shutdown') this.end = event;
  }

  /** Types a command; its output, up to the line that says it is done. */
  shell(command: string): string {
    this.domain.input({ kind: 'console', bytes: Buffer.from(`${command}; echo do""ne\n`) });
    return this.until(/^done$/m);
  }
}

describe.runIf(debianArchive)('a stock kernel on the Xen side', { timeout: 300_000 }, () => {
  let guest: Session;
  beforeAll(() => {
    guest = new Session();
    guest.until(/ready/);
  });
  afterAll(() => guest.domain.retired());

  test('the memory map, the tables and the hypervisor are those of Xen 4.17', () => {
    const log = guest.shell('dmesg').replaceAll(/^\[ *[\d.]+\] /gm, '');
    // As in test/golden/xen-4.17, but for the size of RAM.
    for (const line of [
      'BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable',
      'BIOS-e820: [mem 0x00000000000a0000-0x00000000000fffff] reserved',
      'BIOS-e820: [mem 0x0000000000100000-0x000000000fffffff] usable',
      'BIOS-e820: [mem 0x00000000fc000000-0x00000000fc00803f] ACPI data',
      'BIOS-e820: [mem 0x00000000feff8000-0x00000000feffffff] reserved',
      'Hypervisor detected: Xen HVM',
      'Xen version 4.17.',
      'x86/PAT: Configuration [0-7]: WB  WC  UC- UC  WB  WP  UC- WT  ',
      'ACPI: RSDP 0x00000000FC008000 000024 (v02 Xen   )',
      'ACPI: XSDT 0x00000000FC007F60 000034 (v01 Xen    HVM      00000000 HVML 00000000)',
      'ACPI: FACP 0x00000000FC007D60 00010C (v05 Xen    HVM      00000000 HVML 00000000)',
      'ACPI: FACS 0x00000000FC001000 000040',
      'ACPI: APIC 0x00000000FC007E70 00003C (v02 Xen    HVM      00000000 HVML 00000000)',
      'Booting kernel on Xen PVH',
      'xen:events: Xen HVM callback vector for event delivery is enabled',
      'Switched APIC routing to physical x2apic.',
      'xen:grant_table: Grant tables using version 1 layout',
    ])
      expect(log).toContain(`${line}\n`);
    expect(log).not.toMatch(/WARNING|BUG:|ACPI (BIOS )?Error|unchecked MSR/);
    const read = (name: string): string =>
      guest.shell(`cat /sys/hypervisor/${name}`).split('\n').at(-2) ?? '';
    expect(['type', 'guest_type', 'uuid', 'properties/features', 'version/extra'].map(read)).toEqual([
      'xen',
      'PVH',
      '01234567-89ab-cdef-0123-456789abcdef',
      '00012305',
      '.0-pvh-report',
    ]);
    expect(guest.shell('xen-detect; echo $?')).toContain('Running in PVH context on Xen V4.17.\n0\n');
  });

  test('event channels of every vCPU deliver', () => {
    const table = guest.shell('cat /proc/interrupts');
    const count = (name: string, vcpu: number): number =>
      Number(new RegExp(`^ *\\d+: +(\\d+) +(\\d+).*${name}$`, 'm').exec(table)?.[1 + vcpu]);
    expect(count('timer0', 0)).toBeGreaterThan(10);
    expect(count('timer1', 1)).toBeGreaterThan(10);
    expect(count('xenbus', 0) + count('xenbus', 1)).toBeGreaterThan(10);
  });

  test('time goes by as it should', () => {
    const before = guest.domain.now();
    guest.shell('sleep 3');
    expect(guest.domain.now() - before).toBeGreaterThan(3e9);
    expect(guest.domain.now() - before).toBeLessThan(3.2e9);
    expect(guest.shell('date -u')).toMatch(/Tue Nov 14 22:13:2\d UTC 2023/);
  });

  test('more output than the ring holds', () => {
    const text = guest.shell('seq 1 2000');
    expect(text.split('\n').filter((line) => /^\d+$/.test(line))).toHaveLength(2000);
  });

  test('a CPU goes off and comes back', () => {
    const file = '/sys/devices/system/cpu/cpu1/online';
    expect(guest.shell(`echo 0 > ${file}; cat /sys/devices/system/cpu/online`)).toMatch(/^0$/m);
    expect(guest.domain.vcpuRecords().map(({ online }) => online)).toEqual([true, false]);
    expect(guest.shell(`echo 1 > ${file}; cat /sys/devices/system/cpu/online`)).toMatch(/^0-1$/m);
    expect(guest.domain.vcpuRecords().map(({ online }) => online)).toEqual([true, true]);
  });

  test('the balloon follows memory/target, down and up', () => {
    const total = (): number => Number(/MemTotal: +(\d+)/.exec(guest.shell('cat /proc/meminfo'))?.[1]);
    const full = total();
    guest.xen.xenstore.write(`${HOME}/memory/target`, String((256 << 10) - 65536));
    guest.shell('sleep 5');
    expect(full - total()).toBe(65536);
    guest.xen.xenstore.write(`${HOME}/memory/target`, String(256 << 10));
    guest.shell('sleep 5');
    expect(total()).toBe(full);
  });

  test('an NMI arrives', () => {
    guest.domain.input({ kind: 'nmi', vcpu: 1 });
    expect(guest.until(/Dazed and confused/)).toContain('on CPU 1');
  });

  test('a sysrq arrives and is acknowledged', () => {
    guest.domain.input({ kind: 'sysrq', key: 'h' });
    guest.until(/sysrq: HELP/);
    guest.shell('true');
    expect(guest.xen.xenstore.read(`${HOME}/control/sysrq`)).toBe('');
  });

  test('asked to shut down, it powers off', () => {
    expect(guest.domain.understands('poweroff')).toBe(true);
    guest.domain.input({ kind: 'shutdown', request: 'poweroff' });
    expect(guest.untilEnd()).toMatchObject({ kind: 'shutdown', reason: 'poweroff' });
    expect(guest.console).toContain('reboot: Power down');
  });
});
