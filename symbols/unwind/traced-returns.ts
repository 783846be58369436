// Return addresses that Linux replaced by those of its own trampolines, to notice when a function returns: the function graph
// tracer's and kretprobes'. Finds the true ones in the task (linux include/linux/ftrace.h, rethook.h, kprobes.h).
import { attempt, type LinuxMemory } from '../kernel/linux-memory.ts';
import type { TracedReturn } from './unwinder.ts';

/** Calls that the graph tracer follows at once: FTRACE_RETFUNC_DEPTH until 6.10, a page of words since. */
const MAX_DEPTH = 50n;
const MAX_WORDS = 512n;
/** Kretprobes that one task is inside of. */
const MAX_NODES = 256;
/** A function can be both traced and probed. */
const MAX_NESTED = 4;

type Find = (slot: bigint) => bigint | undefined;

/** The graph tracer keeps a stack of its own; an entry knows the slot that it stands for (retp). */
function graphReturn(linux: LinuxMemory, task: bigint, slot: bigint): bigint | undefined {
  const { reader } = linux;
  const type = 'ftrace_ret_stack';
  const stack = linux.u64(task, 'task_struct', 'ret_stack');
  const current = BigInt(linux.u32(task, 'task_struct', 'curr_ret_stack') | 0);
  const [ret, slotPlace] = [linux.offset(type, 'ret'), linux.offset(type, 'retp')];
  // Index of the last entry until 6.10; words in use since several tracers can share the stack (7aa1eaef9f42).
  const shared = linux.has('fgraph_ops', 'idx');
  const inUse = shared ? current : ((current + 1n) * BigInt(linux.size(type))) / 8n;
  const limit = shared ? MAX_WORDS : (MAX_DEPTH * BigInt(linux.size(type))) / 8n;
  if (stack === 0n || inUse < 0n || inUse > limit) return undefined;
  for (let index = inUse - 1n; index >= 0n; index--) {
    const at = stack + index * 8n;
    if (reader.u64(at) === slot && at - slotPlace >= stack) return reader.u64(at - slotPlace + ret);
  }
  return undefined;
}

interface ProbeList {
  readonly member: string;
  readonly node: string;
  readonly slot: string;
}
/** rethooks since 5.18 (54ecbe6f1ed5); from 5.11 to 5.17 kretprobes had such a list of their own. */
const PROBE_LISTS: readonly ProbeList[] = [
  { member: 'rethooks', node: 'rethook_node', slot: 'frame' },
  { member: 'kretprobe_instances', node: 'kretprobe_instance', slot: 'fp' },
];

function probeReturn(linux: LinuxMemory, task: bigint, slot: bigint): bigint | undefined {
  const list = PROBE_LISTS.find(({ member }) => linux.has('task_struct', member));
  if (!list) return undefined;
  const { reader } = linux;
  const place = (member: string): bigint => linux.offset(list.node, member);
  const link = place('llist');
  let next = reader.u64(task + linux.offset('task_struct', list.member));
  for (let count = 0; next !== 0n && count < MAX_NODES; count++) {
    const node = next - link;
    if (reader.u64(node + place(list.slot)) === slot) return reader.u64(node + place('ret_addr'));
    next = reader.u64(next);
  }
  return undefined;
}

/**
 * What a task's replaced return addresses were.
 * @param task address of its task_struct.
 */
export function tracedReturns(linux: LinuxMemory, task: bigint): TracedReturn {
  const graph: Find = (slot) => graphReturn(linux, task, slot);
  const probe: Find = (slot) => probeReturn(linux, task, slot);
  const trampolines = new Map<bigint, Find>();
  for (const [name, find] of [
    ['return_to_handler', graph],
    ['arch_rethook_trampoline', probe],
    ['__kretprobe_trampoline', probe],
    ['kretprobe_trampoline', probe],
  ] as const) {
    const address = linux.find(name);
    if (address !== undefined) trampolines.set(address, find);
  }
  return (address, slot) => {
    let find = trampolines.get(address);
    if (!find) return undefined;
    let original: bigint | undefined;
    for (let nested = 0; find && nested < MAX_NESTED; nested++) {
      const search: Find = find;
      original = attempt(() => ({ found: search(slot) })).value?.found;
      find = original === undefined ? undefined : trampolines.get(original);
    }
    return { original: find ? undefined : original };
  };
}
