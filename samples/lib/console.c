/* Text out: Xen's console ring, or the debug port 0xe9 where there is no Xen (QEMU's -debugcon). */
#include "internal.h"
#include "xen.h"

static struct xencons_interface *ring;
static uint32_t ring_port;
static volatile char lock;

static uint64_t hvm_parameter(uint32_t index) {
  struct xen_hvm_param parameter = {.domid = DOMID_SELF, .index = index};
  return hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, &parameter, 0) == 0 ? parameter.value : 0;
}

void console_init(void) {
  if (!on_xen()) return;
  uint64_t frame = hvm_parameter(HVM_PARAM_CONSOLE_PFN);
  ring_port = hvm_parameter(HVM_PARAM_CONSOLE_EVTCHN);
  if (frame != 0) ring = map_page(frame * PAGE_SIZE, PTE_RW | PTE_NX);
}

static void kick(void) {
  struct evtchn_send send = {ring_port};
  hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, &send, 0);
}

static void put(char byte) {
  if (!ring) return outb(0xe9, byte);
  while (ring->out_prod - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) >= sizeof ring->out) {
    kick();
    hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
  }
  ring->out[ring->out_prod % sizeof ring->out] = byte;
  __atomic_store_n(&ring->out_prod, ring->out_prod + 1, __ATOMIC_RELEASE);
}

static void put_text(const char *text) {
  for (; *text; text++) {
    if (*text == '\n') put('\r');
    put(*text);
  }
}

static void put_number(uint64_t value, unsigned base, unsigned width, char pad) {
  char digits[20];
  unsigned count = 0;
  do digits[count++] = "0123456789abcdef"[value % base];
  while ((value /= base) != 0);
  for (; width > count; width--) put(pad);
  while (count > 0) put(digits[--count]);
}

void vprint(const char *format, va_list arguments) {
  for (; *format; format++) {
    if (*format != '%') {
      put_text((char[]){*format, 0});
      continue;
    }
    char pad = *++format == '0' ? '0' : ' ';
    unsigned width = 0;
    for (; *format >= '0' && *format <= '9'; format++) width = width * 10 + (*format - '0');
    bool is_long = *format == 'l';
    if (is_long) format++;
    if (*format == 's') {
      put_text(va_arg(arguments, const char *));
    } else if (*format == 'c') {
      put(va_arg(arguments, int));
    } else if (*format == 'p') {
      put_number((uint64_t)va_arg(arguments, void *), 16, 16, '0');
    } else {
      uint64_t value = is_long ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
      if (*format == 'd' && (is_long ? (int64_t)value < 0 : (int32_t)value < 0)) {
        put('-');
        value = is_long ? -value : (uint32_t)-value;
      }
      put_number(value, *format == 'x' ? 16 : 10, width, pad);
    }
  }
}

void print(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  while (__atomic_test_and_set(&lock, __ATOMIC_ACQUIRE)) cpu_relax();
  vprint(format, arguments);
  if (ring) kick();
  __atomic_clear(&lock, __ATOMIC_RELEASE);
  va_end(arguments);
}
