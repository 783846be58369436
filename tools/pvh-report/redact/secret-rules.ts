// What credentials look like, and what names them: keys, hashes and tokens by their own looks, the rest by what they are given to.
import { g, type Rule } from './rule.ts';

/** The value of an option: to the next blank or quote. */
const PLAIN_VALUE = '[^\\s"\'`&<>]{1,1000}';
const QUOTED = (group: string): string => `"(?<${group}>[^"\\n]{1,1000})"`;

/** Names that options name secrets by; what stands before them in the same word does not matter. */
const SECRET_WORDS =
  'password|passwd|passphrase|passwort|[a-z]pwd|(?<![a-z])pass|(?<![a-z])pw|secret|secret[_-]?key|access[_-]?key|api[_-]?key|auth[_-]?key|private[_-]?key|account[_-]?key|preshared[_-]?key|shared[_-]?key|psk|(?<!set_)credential|credentials|[._-]key|passcode';
const TOKEN_WORDS = 'token|apikey|bearer|cookie|authtok|session[_-]?id|[_-]signature|[?&]sig|\\bauth';

export const SECRET_RULES: readonly Rule[] = [
  // Secrets by their own looks.
  {
    name: 'pem-private-key',
    class: 'secret',
    pattern: g('-----BEGIN [A-Z ]{0,30}PRIVATE KEY(?: BLOCK)?-----(?<v>(?:[^-]|-(?!----)){1,20000})'),
    pieces: /[A-Za-z0-9+/-]{16,2000}|[A-Za-z0-9+/-]{2,16}(?=={0,2}(?:[\r\n\\]|$))/g,
    example: {
      before:
        '[1.2] -----BEGIN PRIVATE KEY-----\n[1.2] MIIEvQIBADANBgkqhkiG\n[1.2] x9A=\n-----END PRIVATE KEY-----',
      after: '[1.2] -----BEGIN PRIVATE KEY-----\n[1.2] <secret>\n[1.2] <secret>=\n-----END PRIVATE KEY-----',
    },
  },
  {
    name: 'ssh-key',
    class: 'secret',
    pattern: g(
      '\\b(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\\d{3}|sk-[a-z0-9-]{1,30}@openssh\\.com) (?<v>AAAA[A-Za-z0-9+/=]{16,4000})',
    ),
    example: {
      before: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ2YWx1ZXNvZmFrZXk= (none)',
      after: 'ssh-ed25519 <secret> (none)',
    },
  },
  {
    name: 'key-fingerprint',
    class: 'secret',
    pattern: g(
      '\\b(?:SHA256:(?<v>[A-Za-z0-9+/]{43})(?![A-Za-z0-9+/])|MD5:(?<v2>[0-9a-f]{2}(?::[0-9a-f]{2}){15}))|(?<![0-9a-f:])(?<v3>[0-9a-f]{2}(?::[0-9a-f]{2}){15})(?![0-9a-f:])',
    ),
    example: {
      before: '256 SHA256:jWOaZyZ1q3VQmWwyJ8mSgnCtJmX0mCk4S1Gv0xGZ7Lk (ED25519)',
      after: '256 SHA256:<secret> (ED25519)',
    },
  },
  {
    name: 'aws-access-key',
    class: 'secret',
    pattern: g('(?<![A-Za-z0-9])(?<v>(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16})(?![A-Za-z0-9])'),
    example: { before: 'aws: AKIAIOSFODNN7EXAMPLE used', after: 'aws: <secret> used' },
  },
  {
    name: 'service-token',
    class: 'secret',
    pattern: g(
      '(?<![A-Za-z0-9])(?<v>(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255}|glpat-[A-Za-z0-9_-]{20,64}|xox[abeprs]-[A-Za-z0-9-]{10,255}|[sr]k_(?:live|test)_[A-Za-z0-9]{10,255}|AIza[A-Za-z0-9_-]{35}|npm_[A-Za-z0-9]{36}|hvs\\.[A-Za-z0-9_-]{20,255}))',
    ),
    example: {
      before: 'clone with ghp_16C7e42F292c6912E7710c838347Ae178B4a!',
      after: 'clone with <secret>!',
    },
  },
  {
    name: 'jwt',
    class: 'secret',
    pattern: g(
      '(?<![A-Za-z0-9_-])(?<v>eyJ[A-Za-z0-9_-]{8,4000}\\.eyJ[A-Za-z0-9_-]{4,8000}\\.[A-Za-z0-9_-]{0,4000})',
    ),
    example: {
      before: 'got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N, ok',
      after: 'got <secret>, ok',
    },
  },
  {
    name: 'password-hash',
    class: 'secret',
    pattern: g('(?<v>\\$(?:1|2[abxy]|5|6|7|y|gy|argon2id|argon2i)\\$[A-Za-z0-9./$,=+]{10,500})'),
    example: { before: 'root:$6$saltsalt$GJ1AbCdEfGhIjK:19000:', after: 'root:<secret>:19000:' },
  },
  // Secrets by the name of what they are given to.
  {
    name: 'url-credentials',
    class: 'secret',
    sign: /@/g,
    pattern: g('\\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\\s:/@"\'<>]{0,200}:(?<v>[^\\s/"\'<>]{1,400})@'),
    example: { before: 'GET https://:s3cr3t@[::1]/x', after: 'GET https://:<secret>@[::1]/x' },
  },
  {
    name: 'url-user',
    class: 'user',
    sign: /@/g,
    pattern: g(
      '\\b[A-Za-z][A-Za-z0-9+.-]{1,20}://(?<v>[^\\s:/@"\'<>]{1,200})(?=[:@])(?::[^\\s/"\'<>]{0,400})?@',
    ),
    example: { before: 'nbd://backupper@[::1]/x', after: 'nbd://<user>@[::1]/x' },
  },
  {
    name: 'userinfo',
    class: 'secret',
    sign: /@/g,
    pattern: g(
      `(?<![A-Za-z0-9._:/-])[A-Za-z_][A-Za-z0-9._-]{0,63}:(?<v>[^\\s:@/"'<>]{3,100})@(?=[A-Za-z0-9[])`,
    ),
    example: { before: 'rsync root:hunter2@127.0.0.1', after: 'rsync root:<secret>@127.0.0.1' },
  },
  {
    name: 'netrc',
    class: 'secret',
    pattern: g(`\\blogin \\S{1,64} password (?<v>${PLAIN_VALUE})`),
    example: { before: 'login root password hunter2', after: 'login root password <secret>' },
  },
  {
    name: 'credential-option',
    class: 'secret',
    pattern: g(`\\bset_credential(?:_binary)?=[^\\s:=]{1,100}:(?<v>${PLAIN_VALUE})`),
    example: {
      before: 'systemd.set_credential=shell:hunter2',
      after: 'systemd.set_credential=shell:<secret>',
    },
  },
  {
    name: 'program-password',
    class: 'secret',
    pattern: g(
      `\\b(?:sshpass -p ?|mysql(?:dump|admin)? (?:-u ?\\S{1,64} )?-p|IDENTIFIED BY )["']?(?<v>${PLAIN_VALUE})`,
    ),
    example: { before: 'sshpass -p hunter2 ssh x', after: 'sshpass -p <secret> ssh x' },
  },
  {
    name: 'authorization',
    class: 'secret',
    sign: /(?:Basic|Bearer|Digest|Negotiate|oken|ApiKey) /g,
    pattern: g(
      '\\b(?:Basic|Bearer|Digest|Negotiate|Authorization: {0,4}(?:[Tt]oken|ApiKey)) (?<v>[A-Za-z0-9+/._~=-]{8,4000})',
    ),
    accept: (value) => /[A-Z0-9=]/.test(value),
    example: { before: 'Authorization: Basic YWxpY2U6czNjcjN0', after: 'Authorization: Basic <secret>' },
  },
  {
    name: 'cookie',
    class: 'secret',
    pattern: g('\\b(?:Set-)?Cookie: {0,4}(?<v>[^\\s][^\\n\\r"]{0,2000})', 'i'),
    example: { before: 'Cookie: sid=4f2b; theme=1', after: 'Cookie: <secret>' },
  },
  {
    name: 'secret-option',
    class: 'secret',
    pattern: g(
      `(?:${SECRET_WORDS})["']?[ \\t]{0,3}[=:][ \\t]{0,3}(?:${QUOTED('v')}|'(?<v2>[^'\\n]{1,1000})'|(?<v3>${PLAIN_VALUE}))`,
      'i',
    ),
    example: {
      before: 'root=/dev/xvda1 luks.password=hunter2 rd.luks.key="a b" quiet',
      after: 'root=/dev/xvda1 luks.password=<secret> rd.luks.key="<secret>" quiet',
    },
  },
  {
    name: 'token-option',
    class: 'secret',
    pattern: g(
      `(?:${TOKEN_WORDS})["']?[ \\t]{0,3}[=:][ \\t]{0,3}(?:${QUOTED('v')}|(?<v2>${PLAIN_VALUE}))`,
      'i',
    ),
    // libxl's watches have tokens like `3/0`.
    accept: (value) => value.length >= 6 && /[0-9A-Z]/.test(value),
    example: { before: 'coreos.token=4f1c9b27aa quiet', after: 'coreos.token=<secret> quiet' },
  },
  {
    name: 'secret-argument',
    class: 'secret',
    sign: /--?(?:[a-z]{1,20}-)?(?:pass|secret|token|api-key)/gi,
    pattern: g(
      `(?<=\\s|^|["'])--?(?:[a-z]{1,20}-)?(?:password|passwd|passphrase|pass|secret|token|api-key|secret-key)[ \\t]{1,3}(?:${QUOTED('v')}|(?<v2>[^\\s"'-]${PLAIN_VALUE.replace('{1,1000}', '{0,1000}')}))`,
      'im',
    ),
    example: { before: 'mount.cifs --password hunter2 //x', after: 'mount.cifs --password <secret> //x' },
  },
  {
    name: 'user-argument',
    class: 'secret',
    sign: /-u[ \t]/g,
    pattern: g(`(?<=\\s)-u[ \\t]{1,3}[A-Za-z0-9._-]{1,64}:(?<v>${PLAIN_VALUE})`),
    example: { before: 'curl -u root:hunter2 x', after: 'curl -u root:<secret> x' },
  },
];
