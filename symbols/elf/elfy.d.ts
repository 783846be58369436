// Types of the package elfy, which ships none: the parts that elf-file.ts uses.
declare module 'elfy' {
  interface ElfyProgram {
    /** Name of the segment type, undefined when elfy does not know it. */
    readonly type: string | undefined;
  }
  interface ElfySection {
    readonly name: string;
    /** Name of the section type, or its number when elfy does not know it. */
    readonly type: string | number;
    readonly link: number;
    readonly info: number;
  }
  interface ElfyFile {
    readonly class: '32' | '64';
    readonly endian: 'lsb' | 'msb';
    readonly type: string | undefined;
    readonly machine: string | undefined;
    readonly body: { readonly programs: readonly ElfyProgram[]; readonly sections: readonly ElfySection[] };
  }
  const elfy: { parse(bytes: Buffer): ElfyFile };
  // biome-ignore lint/style/noDefaultExport: elfy is CommonJS, Node gives such a module as the default export
  export default elfy;
}
