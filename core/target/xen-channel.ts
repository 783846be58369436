// A stream to another process through plain system calls that wait with a bound: Target.close() is synchronous, sockets of Node are not.
import { assert, PvhError } from '../../symbols/errors.ts';
import type { Calls, Native } from './xen-native.ts';

const LIBC = {
  socketpair: 'int socketpair(int, int, int, void *)',
  socket: 'int socket(int, int, int)',
  connect: 'int connect(int, void *, unsigned int)',
  open: 'int open(const char *, int)',
  poll: 'int poll(void *, unsigned long, int)',
  read: 'long read(int, void *, size_t)',
  write: 'long write(int, const void *, size_t)',
  close: 'int close(int)',
} as const;

// Linux x86-64: bits/socket.h, bits/fcntl-linux.h, bits/poll.h.
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;
const POLLIN = 1;
const EINTR = 4;
const SUN_PATH = 108;

/** One end of a stream. No other process inherits it. */
export class Channel {
  readonly #native: Native;
  readonly #libc: Calls<typeof LIBC>;
  #descriptor: number | undefined;

  private constructor(native: Native, libc: Calls<typeof LIBC>, descriptor: number) {
    this.#native = native;
    this.#libc = libc;
    this.#descriptor = descriptor;
  }

  /** Two connected ends. */
  static pair(native: Native): readonly [Channel, Channel] {
    const libc = native.bind(null, LIBC);
    const ends = new Int32Array(2);
    if (libc.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) !== 0)
      throw native.failure('socketpair');
    const [one = -1, other = -1] = ends;
    return [new Channel(native, libc, one), new Channel(native, libc, other)];
  }

  /** Connects to a unix socket. @throws PvhError with the system's code. */
  static connect(native: Native, path: string): Channel {
    const libc = native.bind(null, LIBC);
    const descriptor = Number(libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (descriptor < 0) throw native.failure('socket');
    const address = Buffer.alloc(2 + SUN_PATH);
    address.writeUInt16LE(AF_UNIX);
    address.write(path, 2, SUN_PATH - 1);
    if (libc.connect(descriptor, address, address.length) !== 0) {
      const failure = native.failure(path);
      libc.close(descriptor);
      throw failure;
    }
    return new Channel(native, libc, descriptor);
  }

  /** Opens a device that speaks as a stream. @throws PvhError with the system's code. */
  static open(native: Native, path: string): Channel {
    const libc = native.bind(null, LIBC);
    const descriptor = Number(libc.open(path, O_RDWR | O_CLOEXEC));
    if (descriptor < 0) throw native.failure(path);
    return new Channel(native, libc, descriptor);
  }

  /** Its number, for a child that shall have it. */
  get descriptor(): number {
    assert(this.#descriptor !== undefined, 'channel is open');
    return this.#descriptor;
  }

  /** Sends a message that fits into the kernel's buffer. @throws PvhError when nobody is there to take it. */
  send(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const left = bytes.subarray(done);
      const count = Number(this.#libc.write(this.descriptor, left, left.length));
      if (count > 0) done += count;
      else if (this.#native.errno() !== EINTR) throw this.#native.failure('write');
    }
  }

  /**
   * Waits for bytes.
   * @returns some, at most `most`; none when the other end is closed.
   * @throws PvhError ETIMEDOUT after `milliseconds`.
   */
  receive(most: number, milliseconds: number): Uint8Array {
    const into = new Uint8Array(most);
    for (const end = performance.now() + milliseconds; ; ) {
      const left = Math.ceil(end - performance.now());
      if (left <= 0) throw new PvhError('ETIMEDOUT', `no answer in ${milliseconds / 1000} s`);
      if (!this.#readable(left)) continue;
      const count = Number(this.#libc.read(this.descriptor, into, most));
      if (count >= 0) return into.subarray(0, count);
      if (this.#native.errno() !== EINTR) throw this.#native.failure('read');
    }
  }

  close(): void {
    if (this.#descriptor === undefined) return;
    this.#libc.close(this.#descriptor);
    this.#descriptor = undefined;
  }

  /** Whether something can be read, after at most `milliseconds`. */
  #readable(milliseconds: number): boolean {
    const request = Buffer.alloc(8); // struct pollfd: int fd, short events, short revents
    request.writeInt32LE(this.descriptor);
    request.writeInt16LE(POLLIN, 4);
    const count = Number(this.#libc.poll(request, 1, milliseconds));
    if (count < 0 && this.#native.errno() !== EINTR) throw this.#native.failure('poll');
    return count > 0;
  }
}
