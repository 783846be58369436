/* A recursive-descent parser far down in nested parentheses: a stack over several pages before the panic. */
#include "runtime.h"

#define NESTING 24

static const char *at;

static uint64_t parse_expression(void);

static NOINLINE uint64_t parse_number(void) {
  uint64_t value = 0;
  if (*at < '0' || *at > '9') panic("syntax error: unexpected '%c'", *at);
  while (*at >= '0' && *at <= '9') value = value * 10 + (*at++ - '0');
  return value;
}

static NOINLINE uint64_t parse_factor(void) {
  /* Room as a careless author takes it. */
  volatile char token[96];
  token[0] = *at;
  if (token[0] != '(') return parse_number();
  at++;
  uint64_t value = parse_expression();
  if (*at++ != ')') panic("syntax error: ')' expected");
  return value;
}

static NOINLINE uint64_t parse_term(void) {
  uint64_t value = parse_factor();
  while (*at == '*') {
    at++;
    value *= parse_factor();
  }
  return value;
}

static NOINLINE uint64_t parse_expression(void) {
  uint64_t value = parse_term();
  while (*at == '+') {
    at++;
    value += parse_term();
  }
  return value;
}

static NOINLINE uint64_t evaluate(const char *text) {
  at = text;
  return parse_expression();
}

void sample_main(void) {
  char text[NESTING + 2];
  print("2*(3+4) = %lu\n", evaluate("2*(3+4)"));
  memset(text, '(', NESTING);
  text[NESTING] = '?';
  text[NESTING + 1] = 0;
  print("nested: %lu\n", evaluate(text));
}
