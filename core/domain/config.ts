// What an xl.cfg says of a PVH guest, typed and checked. The text is config-file.ts's business, files are the caller's.
import { ConfigError, type ConfigFile, type ConfigValue, parseConfigFile } from './config-file.ts';
import { SHUTDOWN_ACTIONS, type ShutdownAction, type ShutdownActions } from './record.ts';

export interface GuestConfig {
  readonly name: string;
  /** As the file says; without it the registry derives one. */
  readonly uuid: string | undefined;
  readonly kernel: string;
  readonly ramdisk: string | undefined;
  readonly cmdline: string;
  readonly memoryMiB: number;
  readonly vcpus: number;
  readonly actions: ShutdownActions;
  /** The `cpuid=` key as it stands; core/xen/cpuid.ts gives it its meaning. */
  readonly cpuid: ConfigValue | undefined;
  /** Ours: `wallclock = "host"`, a number of seconds since 1970, or an ISO 8601 date; DEFAULT_WALLCLOCK without it. */
  readonly wallclock: { readonly seconds: number; readonly source: 'fixed' | 'host' };
  /** Ours: `seed = N`, where RDRAND starts. */
  readonly seed: number;
  /** Ours: `time_lead = N`, by how many seconds the time of an idle guest may run ahead of the host's. */
  readonly timeLeadSeconds: number;
}

/** 2026-01-01T00:00:00Z: the guest's wall clock at virtual time 0, so that runs repeat. */
export const DEFAULT_WALLCLOCK = 1_767_225_600;
export const DEFAULT_TIME_LEAD = 60;
export const MAX_MEMORY_MIB = 3584;
export const MAX_VCPUS = 32;

const DEFAULT_ACTIONS: ShutdownActions = {
  on_poweroff: 'destroy',
  on_reboot: 'restart',
  on_watchdog: 'destroy',
  on_crash: 'destroy',
  on_soft_reset: 'soft-reset',
};

/** Keys that xl 4.17 reads and that mean nothing to a guest of this runtime: accepted in silence. */
const WITHOUT_EFFECT = new Set(
  `acpi acpi_s3 acpi_s4 altp2m apic autoballoon bios blkdev_start bootloader bootloader_args builder channel
  claim_mode cpu_weight cap cpus cpus_soft cpuset device_model_args device_model_args_hvm device_model_args_pv
  device_model_version device_tree device_model_override device_model_stubdomain_override driver_domain
  e820_host event_channels extratime gfx_passthru grant_limits hap hdtype hpet hvm init_seclabel irq iomem ioports
  keymap latency localtime max_event_channels max_grant_frames max_grant_version max_maptrack_frames
  mca_caps memory_policy mmio_hole monitor msr_relaxed nestedhvm nodes nographic nomigrate nr_maptrack_frames
  nr_spare_pages nx ofw on_xend_start on_xend_stop opengl p9 pae passthrough period platform pool protocol
  pvcalls pvshim pvshim_cmdline pvshim_extra pvshim_path rdm_mem_boundary reservation rtc_timeoffset run_hotplug_scripts
  seclabel serial shadow_memory slice smbios_firmware soundhw spice stdvga suppress_spurious_page_faults
  system_firmware tee timer_mode timestamp tpm tsc_mode usb usbctrl usbdev usbdevice usbversion vdispl vendor_device
  vga videoram viridian vkb vnc vncconsole vncdisplay vnclisten vncpasswd vncunused vnuma vpt_align vsnd vtpm weight
  xen_platform_pci`.split(/\s+/),
);

const READ = new Set(
  `cmdline cpuid disk extra firmware kernel maxmem maxvcpus memory name on_crash on_poweroff on_reboot on_soft_reset
  on_watchdog pci pvh ramdisk root seed time_lead type uuid vcpus vfb vif wallclock`.split(/\s+/),
);

/** Devices that a config may name and that this runtime has none of yet. */
const DEVICES: Readonly<Record<string, string>> = {
  disk: 'no block devices are emulated: the guest boots without it',
  vif: 'no network devices are emulated: the guest boots without it',
  vfb: 'no frame buffer is emulated: the guest boots without it',
};

const fail = (text: string, exitStatus = 1): never => {
  throw new ConfigError([text], exitStatus);
};

/** Why a domain cannot have this name: it becomes a file name and must not look like a domid. Undefined when it can. */
export function checkDomainName(name: string): string | undefined {
  if (Buffer.byteLength(name) <= 127 && !/[\p{Cc}/]/u.test(name) && !/^([.\s]*|\d+)$/.test(name))
    return undefined;
  return `Invalid domain name ${JSON.stringify(name)}: up to 127 bytes, no "/", not a number`;
}

/** xl compares with as many letters as the config gives: "h" is hvm, "p" is pv. */
function guestType(file: ConfigFile): 'pvh' | 'pv' | 'hvm' {
  const text = file.string('type');
  if (text === undefined) return file.number('pvh') === 1 ? 'pvh' : 'pv';
  for (const type of ['hvm', 'pv', 'pvh'] as const) if (text !== '' && type.startsWith(text)) return type;
  return fail(`Invalid domain type ${text}.`);
}

function readUuid(file: ConfigFile): string | undefined {
  const text = file.string('uuid');
  if (text === undefined) return undefined;
  const digits = text.replaceAll('-', '').toLowerCase();
  if (!/^[0-9a-f]{32}$/.test(digits)) fail(`Failed to parse UUID: ${text}`);
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function readCmdline(file: ConfigFile): string {
  const cmdline = file.string('cmdline');
  const root = file.string('root');
  const extra = file.string('extra');
  if (cmdline !== undefined) {
    if (root !== undefined || extra !== undefined)
      file.warnings.push('Warning: ignoring root= and extra= in favour of cmdline=');
    return cmdline;
  }
  return [root === undefined ? undefined : `root=${root}`, extra]
    .filter((part) => part !== undefined)
    .join(' ');
}

function readActions(file: ConfigFile): ShutdownActions {
  const actions: Record<string, ShutdownAction> = { ...DEFAULT_ACTIONS };
  for (const key of Object.keys(DEFAULT_ACTIONS)) {
    const text = file.string(key);
    if (text === undefined) continue;
    const action = SHUTDOWN_ACTIONS.find((known) => known === text);
    if (action === undefined) return fail(`Unknown ${key} action "${text}" specified`);
    if (action === 'soft-reset' && key !== 'on_soft_reset')
      fail(
        `${key}="soft-reset" is not supported: a domain cannot be reset in place here. Use "restart" or "preserve".`,
      );
    actions[key] = action;
  }
  return actions as unknown as ShutdownActions; // has every key of DEFAULT_ACTIONS
}

function readMemory(file: ConfigFile): number {
  const memory = file.number('memory');
  const maxmem = file.number('maxmem');
  const size = memory ?? maxmem;
  if (size === undefined) {
    const wrong = file.has('memory') ? `memory is not a number` : 'No memory specified';
    return fail(`${wrong}: say how many MiB the guest has, for example memory=256`, 3);
  }
  if (maxmem !== undefined && maxmem > size)
    file.warn('maxmem', 'ballooning up is not supported: the guest gets what memory= says');
  if (size < 1) fail(`memory=${size}: a guest needs at least 1 MiB`, 3);
  if (size > MAX_MEMORY_MIB)
    fail(`memory=${size}: this runtime gives a guest at most ${MAX_MEMORY_MIB} MiB`, 3);
  return size;
}

function readVcpus(file: ConfigFile): number {
  const vcpus = file.number('vcpus') ?? file.number('maxvcpus') ?? 1;
  const maxvcpus = file.number('maxvcpus') ?? vcpus;
  if (maxvcpus < vcpus) fail('xl: maxvcpus < vcpus');
  if (maxvcpus > vcpus) file.warn('maxvcpus', 'vCPUs cannot be added later: the guest gets what vcpus= says');
  if (vcpus < 1 || vcpus > MAX_VCPUS) fail(`vcpus=${vcpus}: a guest has 1 to ${MAX_VCPUS} vCPUs`, 3);
  return vcpus;
}

function readWallclock(file: ConfigFile, hostSeconds: number): GuestConfig['wallclock'] {
  const text = file.string('wallclock');
  if (text === undefined) return { seconds: DEFAULT_WALLCLOCK, source: 'fixed' };
  if (text === 'host') return { seconds: hostSeconds, source: 'host' };
  const seconds = /^\d+$/.test(text) ? Number(text) : Math.floor(Date.parse(text) / 1000);
  if (!Number.isInteger(seconds) || seconds < 0 || seconds > 0xffff_ffff)
    fail(
      `wallclock="${text}" is neither "host", nor seconds since 1970, nor a date like 2026-01-01T00:00:00Z`,
    );
  return { seconds, source: 'fixed' };
}

function readInteger(file: ConfigFile, name: string, fallback: number, max: number): number {
  const value = file.number(name);
  if (value === undefined) return file.has(name) ? fail(`${name} must be a number`) : fallback;
  if (value < 0 || value > max) fail(`${name}=${value}: must be between 0 and ${max}`);
  return value;
}

/**
 * Gives the settings of an xl.cfg their meaning for a PVH guest; warnings are left in `file.warnings`.
 * @param hostSeconds the host's time, seconds since 1970; used only by `wallclock="host"`.
 * @throws ConfigError with the words and the exit status of xl where xl has any.
 */
export function readGuestConfig(file: ConfigFile, hostSeconds: number): GuestConfig {
  for (const name of file.names)
    if (!READ.has(name) && !WITHOUT_EFFECT.has(name))
      file.warn(name, `unknown parameter \`${name}' is ignored`);
  const type = guestType(file);
  const name = file.string('name');
  if (name === undefined || name === '') return fail('Domain name must be specified.');
  const wrong = checkDomainName(name);
  if (wrong !== undefined) fail(wrong);
  const uuid = readUuid(file);
  if (type !== 'pvh') {
    const said = file.has('type')
      ? `type="${file.string('type')}" is ${type}`
      : `without type= a guest is ${type}`;
    fail(`Only PVH guests run here, and ${said}: set type="pvh"`);
  }
  const vcpus = readVcpus(file);
  const memoryMiB = readMemory(file);
  const actions = readActions(file);
  if (file.has('pci') && file.list('pci')?.length !== 0)
    fail('passthrough not yet supported for x86 PVH guests', 3);
  for (const [key, text] of Object.entries(DEVICES))
    if (file.has(key) && file.list(key)?.length !== 0) file.warn(key, `parameter \`${key}': ${text}`);
  const kernel = file.string('kernel');
  if (file.has('firmware'))
    fail(
      kernel === undefined
        ? 'ERROR: firmware= needs a boot loader image, which this runtime has not: set kernel='
        : 'ERROR: both kernel and firmware specified',
    );
  if (kernel === undefined || kernel === '') return fail('Neither kernel nor bootloader specified');
  return {
    name,
    uuid,
    kernel,
    ramdisk: file.string('ramdisk') || undefined,
    cmdline: readCmdline(file),
    memoryMiB,
    vcpus,
    actions,
    cpuid: file.value('cpuid'),
    wallclock: readWallclock(file, hostSeconds),
    seed: readInteger(file, 'seed', 0, 0xffff_ffff),
    timeLeadSeconds: readInteger(file, 'time_lead', DEFAULT_TIME_LEAD, 1e9),
  };
}

/** The text of a config file with xl's `key=value` arguments behind it, where they win. */
export function withOverrides(text: string, overrides: readonly string[]): string {
  if (overrides.length === 0) return text;
  const own = text === '' || text.endsWith('\n') ? text : `${text}\n`;
  return own + overrides.map((line) => `${line}\n`).join('');
}

/** Parses and reads in one go. @throws ConfigError */
export function loadGuestConfig(
  text: string,
  source: string,
  hostSeconds: number,
): { config: GuestConfig; warnings: readonly string[] } {
  const file = parseConfigFile(text, source);
  try {
    return { config: readGuestConfig(file, hostSeconds), warnings: file.warnings };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError([...file.warnings, ...error.lines], error.exitStatus, { cause: error });
  }
}
