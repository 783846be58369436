// HYPERVISOR_xen_version: who we are.
// Source: xen/include/public/version.h, features.h
import { EFAULT, EINVAL, ENODATA, EPERM } from '../abi/errno.ts';
import * as V from '../abi/version.ts';
import {
  type Call,
  type Operation,
  type Operations,
  type Result,
  runOperation,
  u32,
  word,
  writeGuest,
} from './call.ts';

const CAPABILITIES = 'xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ';

const FEATURES = [
  V.XENFEAT_writable_page_tables,
  V.XENFEAT_auto_translated_physmap,
  V.XENFEAT_hvm_callback_vector,
  V.XENFEAT_hvm_safe_pvclock,
  V.XENFEAT_memory_op_vnode_supported,
  V.XENFEAT_not_direct_mapped,
].reduce((mask, bit) => mask | (1 << bit), 0);

/** ASCII into a zero-filled field; cut so that a NUL stays. */
function fixed(value: string, size: number): Uint8Array {
  const field = new Uint8Array(size);
  field.set(new TextEncoder().encode(value).subarray(0, size - 1));
  return field;
}

const put = (call: Call, bytes: Uint8Array): number => (writeGuest(call, word(call, 1), bytes) ? 0 : -EFAULT);

function compileInfo(call: Call): number {
  const { compiler, compile_by, compile_domain, compile_date, size } = V.compile_info;
  const info = new Uint8Array(size);
  const fields: [readonly [number, number], string][] = [
    [compiler, 'AssemblyScript'],
    [compile_by, 'pvh-report'],
    [compile_domain, ''],
    [compile_date, ''],
  ];
  for (const [[offset, length], value] of fields) info.set(fixed(value, length), offset);
  return put(call, info);
}

function platformParameters(call: Call): number {
  const bytes = new Uint8Array(call.width / 8);
  // virt_start of a 64-bit hypervisor, as Xen tells it to HVM guests.
  if (call.width === 64) new DataView(bytes.buffer).setBigUint64(0, 0xffff_8000_0000_0000n, true);
  return put(call, bytes);
}

function guestHandle(call: Call): number {
  const digits = call.guest.options.uuid.replaceAll('-', '');
  const bytes = Uint8Array.from({ length: 16 }, (_, i) =>
    Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16),
  );
  return put(call, bytes);
}

const OPERATIONS: Operations = new Map<number, Operation>([
  [
    V.XENVER_version,
    {
      run: ({ guest }) => (guest.options.version.major << 16) | guest.options.version.minor,
    },
  ],
  [V.XENVER_extraversion, { run: (call) => put(call, fixed(call.guest.options.version.extra, 16)) }],
  [V.XENVER_compile_info, { run: compileInfo }],
  [V.XENVER_capabilities, { run: (call) => put(call, fixed(CAPABILITIES, 1024)) }],
  [V.XENVER_changeset, { run: (call) => put(call, fixed('', 64)) }],
  [V.XENVER_platform_parameters, { run: platformParameters }],
  [
    V.XENVER_get_features,
    {
      bytes: 8,
      writes: true,
      run: (_call, info) => {
        if (info.getUint32(0, true) !== 0) return -EINVAL;
        info.setUint32(4, FEATURES, true);
        return 0;
      },
    },
  ],
  [V.XENVER_pagesize, { run: () => 4096 }],
  [V.XENVER_guest_handle, { run: guestHandle }],
  [V.XENVER_commandline, { run: () => -EPERM }],
  [V.XENVER_build_id, { run: () => -ENODATA }],
]);

export const xenVersion = (call: Call): Result => runOperation(OPERATIONS, u32(call, 0), call, word(call, 1));
