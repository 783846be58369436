// The ELF note that makes a kernel a PVH kernel. Data only.
// Source: xen/include/public/elfnote.h

export const XEN_ELFNOTE_PHYS32_ENTRY = 18;
