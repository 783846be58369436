// The console ring page. Data only.
// Source: xen/include/public/io/console.h

export const xencons_interface = {
  in: 0,
  in_size: 1024,
  out: 1024,
  out_size: 2048,
  in_cons: 3072,
  in_prod: 3076,
  out_cons: 3080,
  out_prod: 3084,
} as const;

export const CONSOLEIO_write = 0;
export const CONSOLEIO_read = 1;
