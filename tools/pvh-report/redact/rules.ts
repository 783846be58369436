// All rules in their order. Knows nothing of how a value is replaced.
import { ADDRESS_RULES } from './address-rules.ts';
import { NAME_RULES } from './name-rules.ts';
import { g, type Rule } from './rule.ts';
import { SECRET_RULES } from './secret-rules.ts';

/** First to last: of two that find the same place, the earlier has it. */
export const RULES: readonly Rule[] = [
  ...SECRET_RULES,
  ...ADDRESS_RULES,
  ...NAME_RULES,
  {
    name: 'cut-word',
    class: 'secret',
    local: true,
    pattern: g(
      '\\[\\.\\.\\. \\d{1,15} bytes left out \\.\\.\\.\\]\\n(?<v>[^\\s[]\\S{0,300})|(?=\\n\\[\\.\\.\\. \\d{1,15} bytes left out)(?<=(?<v2>\\S{1,300}))',
    ),
    example: {
      before: 'quiet psk=hun\n[... 100 bytes left out ...]\nter2 quiet',
      after: 'quiet <secret>\n[... 100 bytes left out ...]\n<secret> quiet',
    },
  },
];
