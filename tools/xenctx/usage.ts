// What `xenctx` without operands and `xenctx --help` print. The words of the help are ours; the options are those of Xen's xenctx.

export const USAGE = 'usage: xenctx [options] <domid> <optional vcpu>\n';

export const HELP = `usage:

  xenctx [options] <DOMAIN> [VCPU]

DOMAIN is a domain id, a domain name, or the path of a dump-core file.
VCPU is the number of a vcpu (default 0).

options:
  -f, --frame-pointers
                     call trace along the saved frame pointers, for kernels
                     that are built with them, instead of scanning the stack.
  -s SYMTAB, --symbol-table=SYMTAB
                     take names from SYMTAB: a vmlinux with symbols, or a
                     System.map.
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
  --unwind=WAY       the true call trace, by the kernel's unwind tables (orc), its
                     frame pointers (fp), or the best there is (auto). Without
                     -s, names come out of the guest's own memory.
  --json             the same facts as JSON.
  --debug            where an error came from.

Memory that cannot be read is shown as ?? and explained on stderr.
Exit status: 0 every vcpu asked for was read, 1 some could not be,
255 wrong usage, no such domain, or unusable symbol table.
`;
