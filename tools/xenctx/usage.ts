// What `xenctx` without operands and `xenctx --help` print. The words of the help are ours; the options are those of Xen's xenctx.

export const USAGE = 'usage: xenctx [options] <domid> <optional vcpu>\n';

export const HELP = `usage:

  xenctx [options] <DOMAIN> [VCPU]

DOMAIN is a domain id, a domain name, the path of a dump file, or gdb:HOST:PORT
or gdb:unix:PATH, a guest behind a gdb stub.
VCPU is the number of a vcpu.

options:
  -f, --frame-pointers
                     call trace along the saved frame pointers, for kernels
                     that are built with them, instead of scanning the stack.
  -s SYMTAB, --symbol-table=SYMTAB
                     take names from SYMTAB: a vmlinux with symbols, a
                     bzImage, a System.map, or a copy of /proc/kallsyms.
  -S, --stack-trace  show every word of the stack in the trace.
  -k KADDR, --kernel-start=KADDR
                     where the kernel half begins (default 0xffffffff80000000);
                     when given, all addresses above it count as code.
  -a, --all          also show control and debug registers.
  -C, --all-vcpus    all vcpus, one after the other.
  -n PAGES, --display-stack-pages=PAGES
                     look at PAGES pages from the stack pointer on (default 1).
  -b BYTES, --bytes-per-line=BYTES
                     bytes on a line of the Stack and Memory dumps (default 32).
  -l LINES, --lines=LINES
                     lines of these dumps (default 5); MAX for all, 0 for no
                     Stack dump.
  -D, --decode-as-ascii
                     show the dumped bytes as characters too.
  -t, --tag-stack-dump
                     start each dump line with its address.
  -m ADDR, --memory=ADDR
                     dump memory at ADDR.
  -d ADDR, --dump-as-stack=ADDR
                     dump memory at ADDR as if it were a stack.
  -h, --help         this text.

beyond Xen's xenctx:
  --classic          layout, traces and exit status of Xen's xenctx, byte for byte.
                     -f, -S, -d and -m ask for its layout too.
  --unwind=WAY       how the call trace is found: by the kernel's unwind tables
                     (orc), call frame information (cfi), frame pointers (fp), by
                     looking at every word of the stack (scan), or by the best of
                     them at each frame (auto, the default).
  --lines            file and line of each frame, and the functions inlined there.
                     (With a number behind it --lines is the option above;
                     --source-lines always means this one.)
  --registers-of-frame=N
                     what is known of the registers in frame N of each trace; the
                     innermost is 0.
  --disassemble      instructions around the instruction pointer.
  --all-tasks        every task of the guest with its stack.
  --modules          the modules that are loaded.
  --dmesg            the kernel's log.
  --force-symbols    take SYMTAB although it is another kernel's.
  --json             the same facts as JSON.
  --debug            where an error came from.

Without -s, names come from a vmlinux that \`pvh-report stash\` keeps, that is
installed below /usr/lib/debug, or that a server of DEBUGINFOD_URLS has; else from
the guest's own memory. Without VCPU and -C, the vcpu that panicked is shown.

Memory that cannot be read is shown as ?? and explained on stderr.
Exit status: 0 every vcpu asked for was read, 1 some could not be, 2 wrong usage,
no such domain, or unusable symbol table (255 with --classic).
`;
