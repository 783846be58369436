// One Linux guest as its own memory describes it: everything of this room behind one object, read when first asked for.
import { type AddressOf, hex16 } from '../address.ts';
import type { MemorySource } from '../memory.ts';
import { type KernelFacts, kernelFacts } from './facts.ts';
import { GuestReader } from './guest-reader.ts';
import { layoutsOf } from './layouts.ts';
import { attempt, type Known, LinuxMemory } from './linux-memory.ts';
import { type GuestModule, holdsAddress, listModules } from './modules.ts';
import { PerCpu } from './per-cpu.ts';
import { type PrintkRecord, printkRecords } from './printk.ts';
import { allTasks, idleTasks, readTask, type Task } from './tasks.ts';
import { type PhysicalMemory, readVmcoreinfo, searchVmcoreinfo, type Vmcoreinfo } from './vmcoreinfo.ts';

export interface LinuxGuestSources {
  /** Guest-virtual memory as a vCPU in the kernel sees it. */
  readonly memory: MemorySource;
  /** Run-time addresses, as of kallsyms in the guest or of a file with KASLR taken in. */
  readonly addressOf: AddressOf;
  /** For the search of VMCOREINFO where the symbols do not lead to it. */
  readonly physical?: PhysicalMemory | undefined;
}

/** What the tasks of a guest are, and what of them could not be read. */
export interface TaskList {
  readonly tasks: readonly Task[];
  /** Sentences: lists that ended early, tasks that could not be read. */
  readonly problems: readonly string[];
}

/** Sentences kept of one list: a damaged guest has too many. */
const MAX_PROBLEMS = 32;

export class LinuxGuest {
  readonly vmcoreinfo: Vmcoreinfo | undefined;
  readonly linux: LinuxMemory;
  #perCpu: Known<PerCpu> | undefined;
  #modules: Known<readonly GuestModule[]> | undefined;
  #moduleProblem: string | undefined;
  #log: Known<readonly PrintkRecord[]> | undefined;
  #logProblem: string | undefined;
  #facts: KernelFacts | undefined;
  #idle: ReadonlySet<bigint> | undefined;

  constructor({ memory, addressOf, physical }: LinuxGuestSources) {
    const reader = new GuestReader(memory);
    this.vmcoreinfo =
      readVmcoreinfo(reader, addressOf) ?? (physical ? searchVmcoreinfo(physical) : undefined);
    // Without CONFIG_KALLSYMS_ALL the symbols of data are those that VMCOREINFO tells.
    const find: AddressOf = (name) => addressOf(name) ?? this.vmcoreinfo?.symbol(name);
    this.linux = new LinuxMemory(reader, find, layoutsOf(reader, find, this.vmcoreinfo));
  }

  /** Per-CPU areas, or why they are not known. */
  get perCpu(): Known<PerCpu> {
    this.#perCpu ??= attempt(() => new PerCpu(this.linux));
    return this.#perCpu;
  }

  /**
   * The guest's CPU number of a vCPU.
   * @param gsBases its gs base and, for a vCPU in user mode, its kernel_gs_base.
   */
  cpuOfVcpu(...gsBases: readonly (bigint | undefined)[]): number | undefined {
    for (const base of gsBases) {
      const cpu = base === undefined ? undefined : this.perCpu.value?.cpuOfGsBase(base);
      if (cpu !== undefined) return cpu;
    }
    return undefined;
  }

  /** The task that runs on a CPU. */
  currentTask(cpu: number): Known<Task> {
    const perCpu = this.perCpu;
    if (perCpu.value === undefined) return { missing: perCpu.missing };
    return attempt(() => {
      const address = perCpu.value.currentTask(cpu);
      // Before the scheduler is set up the task does not say so itself.
      return { ...readTask(this.linux, address, this.#idleTasks().has(address)), onCpu: true };
    });
  }

  /** All tasks with their threads; idle tasks first. Can take long for a guest with very many. */
  tasks(): Known<TaskList> {
    const problems: string[] = [];
    const note = (problem: string): void => {
      if (problems.length < MAX_PROBLEMS) problems.push(problem);
    };
    return attempt(() => ({
      tasks: [
        ...allTasks(this.linux, this.perCpu, {
          damaged: (list, { address, reason }) =>
            note(`list of ${list} damaged at ${hex16(address)}: ${reason}`),
          unreadable: (address, reason) => note(`task at ${hex16(address)}: ${reason}`),
        }),
      ],
      problems,
    }));
  }

  modules(): Known<readonly GuestModule[]> {
    this.#modules ??= attempt(() =>
      listModules(this.linux, ({ address, reason }) => {
        this.#moduleProblem ??= `list of modules damaged at ${hex16(address)}: ${reason}`;
      }),
    );
    return this.#modules;
  }

  /** Why not all modules could be listed; undefined when they could. */
  get moduleProblem(): string | undefined {
    return this.modules().missing ?? this.#moduleProblem;
  }

  /** The module in which an address lies. */
  moduleAt(address: bigint): GuestModule | undefined {
    return this.modules().value?.find((module) => holdsAddress(module, address));
  }

  /** The kernel's log, oldest record first. */
  log(): Known<readonly PrintkRecord[]> {
    this.#log ??= attempt(() =>
      printkRecords(this.linux, (reason) => {
        this.#logProblem = `log is not complete: ${reason}`;
      }),
    );
    return this.#log;
  }

  /** Why not all of the log could be read; undefined when it could. */
  get logProblem(): string | undefined {
    return this.log().missing ?? this.#logProblem;
  }

  facts(): KernelFacts {
    this.#facts ??= kernelFacts(this.linux, this.log());
    return this.#facts;
  }

  #idleTasks(): ReadonlySet<bigint> {
    this.#idle ??= new Set([
      ...(this.linux.find('init_task') === undefined ? [] : [this.linux.address('init_task')]),
      ...(this.perCpu.value ? idleTasks(this.linux, this.perCpu.value).values() : []),
    ]);
    return this.#idle;
  }
}
