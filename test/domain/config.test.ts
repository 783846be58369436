import { describe, expect, test } from 'vitest';
import { loadGuestConfig, withOverrides } from '../../core/domain/config.ts';
import { ConfigError } from '../../core/domain/config-file.ts';

const HOST_SECONDS = 1_800_000_000;
const minimal = 'name="g"\ntype="pvh"\nkernel="k"\nmemory=64\n';
const load = (text: string): ReturnType<typeof loadGuestConfig> =>
  loadGuestConfig(text, 'f.cfg', HOST_SECONDS);

describe('guest configuration', () => {
  test('defaults', () => {
    expect(load(minimal)).toEqual({
      warnings: [],
      config: {
        name: 'g',
        uuid: undefined,
        kernel: 'k',
        ramdisk: undefined,
        cmdline: '',
        memoryMiB: 64,
        vcpus: 1,
        cpuid: undefined,
        actions: {
          on_poweroff: 'destroy',
          on_reboot: 'restart',
          on_watchdog: 'destroy',
          on_crash: 'destroy',
          on_soft_reset: 'soft-reset',
        },
        wallclock: { seconds: 1_767_225_600, source: 'fixed' },
        seed: 0,
        timeLeadSeconds: 60,
      },
    });
  });

  const keys: [string, object][] = [
    ['pvh=1\ntype="pvh"', {}],
    ['root="/dev/xvda1"', { cmdline: 'root=/dev/xvda1' }],
    ['extra="quiet"', { cmdline: 'quiet' }],
    ['root="/dev/xvda1"\nextra="quiet ro"', { cmdline: 'root=/dev/xvda1 quiet ro' }],
    ['uuid="D31FD777-6930-4506-A150-7718BB5770D7"', { uuid: 'd31fd777-6930-4506-a150-7718bb5770d7' }],
    ['wallclock="host"', { wallclock: { seconds: HOST_SECONDS, source: 'host' } }],
    ['wallclock=1000', { wallclock: { seconds: 1000, source: 'fixed' } }],
    ['wallclock="2000-01-01T00:00:00Z"', { wallclock: { seconds: 946_684_800, source: 'fixed' } }],
    ['seed=0x10', { seed: 16 }],
    ['vcpus=4', { vcpus: 4 }],
    ['maxvcpus=2', { vcpus: 2 }],
    ['memory=128', { memoryMiB: 128 }],
    ['time_lead=0', { timeLeadSeconds: 0 }],
    ['disk=[]\nvif=[ ]', {}],
  ];
  test.each(keys)('%s', (lines, expected) => {
    const { config, warnings } = load(`${minimal}${lines}\n`);
    expect(config).toMatchObject(expected);
    expect(warnings).toEqual([]);
  });

  test('pvh=1 stands for type="pvh"', () => {
    expect(load('name="g"\npvh=1\nkernel="k"\nmemory=64\n').config.name).toBe('g');
  });

  test('command-line settings win over the file, whose last line may lack its end', () => {
    expect(
      load(withOverrides('name="g"\ntype="pvh"\nkernel="k"\nmemory=1', ['memory=99', 'vcpus=2'])).config,
    ).toMatchObject({
      memoryMiB: 99,
      vcpus: 2,
    });
  });

  const warned: [string, string][] = [
    ['frobnicate = 3', "f.cfg:5: warning: unknown parameter `frobnicate' is ignored"],
    ["disk=['/dev/null,raw,xvda,w']", "f.cfg:5: warning: parameter `disk': no block devices are emulated"],
    ["vif=['']", "f.cfg:5: warning: parameter `vif': no network devices"],
    ['maxmem=128', 'f.cfg:5: warning: ballooning up is not supported'],
    ['cmdline="a"\nextra="b"', 'Warning: ignoring root= and extra= in favour of cmdline='],
  ];
  test.each(warned)('warns about %s', (lines, warning) => {
    const { warnings } = load(`${minimal}${lines}\n`);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(warning);
  });

  const refused: [string, string, number][] = [
    ['', 'Domain name must be specified.', 1],
    ['name="g"', 'Only PVH guests run here, and without type= a guest is pv: set type="pvh"', 1],
    ['name="g"\ntype="h"', 'type="h" is hvm', 1],
    ['type="foo"', 'Invalid domain type foo.', 1],
    ['name="g"\ntype="pvh"\nkernel="k"', 'No memory specified', 3],
    [`${minimal}uuid="x"`, 'Failed to parse UUID: x', 1],
    [`${minimal}vcpus=4\nmaxvcpus=2`, 'xl: maxvcpus < vcpus', 1],
    [`${minimal}vcpus=33`, 'vcpus=33: a guest has 1 to 32 vCPUs', 3],
    [`${minimal}on_reboot="sleep"`, 'Unknown on_reboot action "sleep" specified', 1],
    [`${minimal}on_crash="soft-reset"`, 'on_crash="soft-reset" is not supported', 1],
    [`${minimal}pci=['01:00.0']`, 'passthrough not yet supported for x86 PVH guests', 3],
    [`${minimal}wallclock="tomorrow"`, 'wallclock="tomorrow" is neither', 1],
    [`${minimal}seed="-1"`, 'seed=-1: must be between', 1],
    [`${minimal}name="../../etc"`, 'Invalid domain name "../../etc"', 1],
    [`${minimal}name="7"`, 'Invalid domain name "7"', 1],
    [`${minimal}firmware="pvgrub64"`, 'ERROR: both kernel and firmware specified', 1],
  ];
  test.each(refused)('refuses %j', (text, message, exitStatus) => {
    let error: unknown;
    try {
      load(`${text}\n`);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ exitStatus });
    expect((error as ConfigError).lines.join('\n')).toContain(message); // checked above
  });
});
