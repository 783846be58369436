// Error numbers that hypercalls return negated. Numbers only; xenstore's error names are in io-xs-wire.ts.
// Source: xen/include/public/errno.h

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const E2BIG = 7;
export const EFAULT = 14;
export const EEXIST = 17;
export const EINVAL = 22;
export const ENOSPC = 28;
export const ENOSYS = 38;
export const ENODATA = 61;
export const ETIME = 62;
