/** Who may import whom, as data. docs/architecture.md explains it to people; this is what is enforced. */

/** Folders of `src/` (and the entry file) by layer. A file imports its own folder and strictly lower layers. */
export const LAYERS: readonly (readonly string[])[] = [
  ['lib'],
  ['message', 'shared-memory', 'pattern'],
  ['http', 'grpc', 'tls', 'proxy-protocol', 'cache', 'auth', 'limit'],
  // Below what reads it: the API (types, checks), the compiler (plans) and whoever runs filters (docs/decisions/0023).
  ['policy'],
  ['api', 'snapshot', 'balance'],
  ['routing', 'compile', 'transport'],
  ['link'],
  ['exchange'],
  ['socket'],
  ['http1', 'http2'],
  ['source', 'store', 'listener', 'connector', 'probe', 'provider', 'admin', 'log', 'thread'],
  ['control', 'worker', 'cli'],
  ['supervisor'],
  ['main.ts'],
]

/** A folder that is divided into rooms: what flows through it flows from the first rank to the last. */
export interface Rooms {
  /** Folders below it by rank. A room imports the entrances of rooms in lower ranks. */
  readonly ranks: readonly (readonly string[])[]
  /** The one file of each room that others may import. */
  readonly entrances: Readonly<Record<string, string>>
}

/** Files that stand beside the rooms put them together: no room imports them, and they import entrances alone. */
export const ROOMS: Readonly<Record<string, Rooms>> = {
  control: {
    ranks: [
      ['settings', 'leader', 'last-good', 'registration', 'passwords', 'sign-in', 'archive', 'cache'],
      ['resources'],
      ['endpoints', 'publish', 'key-sets'],
      ['health'],
      ['status'],
    ],
    entrances: {
      settings: 'settings-feed.ts',
      leader: 'leader.ts',
      'last-good': 'last-good.ts',
      registration: 'registrations.ts',
      passwords: 'passwords.ts',
      archive: 'archive.ts',
      'sign-in': 'sign-ins.ts',
      cache: 'caches.ts',
      resources: 'resources.ts',
      endpoints: 'endpoints.ts',
      publish: 'pipeline.ts',
      'key-sets': 'key-sets.ts',
      health: 'health.ts',
      status: 'statuses.ts',
    },
  },
}

/** Folders that wait for time by the contract of timers (`TimerClock` of lib/clock.ts) and call no timer themselves. */
export const TIMED_BY_CONTRACT: readonly string[] = ['source', 'admin', 'control', 'cli', 'supervisor']

/** Layers 0 to this one are pure: no sockets, files, timers, process, clock or chance. */
export const LAST_PURE_LAYER = 7

/** Built-in modules that a pure layer may use: they compute, and touch nothing outside. */
export const PURE_BUILTINS: Readonly<Record<string, readonly string[] | 'whole'>> = {
  'node:buffer': 'whole',
  // Parsing an address literal; nothing that opens a socket.
  'node:net': ['isIP', 'isIPv4', 'isIPv6', 'BlockList'],
  // Digests, ciphers, comparing secrets, reading certificates and keys, signatures; nothing that draws random numbers
  // for the caller or makes keys.
  'node:crypto': [
    'hash',
    'createHash',
    'createHmac',
    'timingSafeEqual',
    'hkdfSync',
    'Hash',
    'Hmac',
    'X509Certificate',
    'KeyObject',
    'createPrivateKey',
    'createPublicKey',
    'createSecretKey',
    'createCipheriv',
    'createDecipheriv',
    'sign',
    // For as long as it takes: check-password.ts alone, on a thread of its own.
    'scryptSync',
    'argon2Sync',
    'verify',
    'constants',
  ],
  'node:util': ['types', 'isDeepStrictEqual', 'TextDecoder', 'TextEncoder'],
  'node:querystring': 'whole',
}

/** Packages that a pure layer may use: they compute only. */
export const PURE_PACKAGES: readonly string[] = [
  '@marcbachmann/cel-js',
  'bcryptjs',
  'ipaddr.js',
  'jose',
  're2js',
  'structured-headers',
  'yaml',
]

/** Words in a file's or folder's name that say nothing about what is in it. */
export const EMPTY_NAMES = /(^|[-/])(utils?|helpers?|commons?|managers?|misc|shared)([-./]|$)/

/** Columns of code, comments and Markdown prose. */
export const MAX_COLUMNS = 120
export const MAX_LINES = 400
/** "Mostly under 300 lines": the share of files that may be longer. */
export const SOFT_LINES = 300
export const MAX_LONG_SHARE = 0.12
