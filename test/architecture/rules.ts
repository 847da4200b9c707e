/** Judges a tree of sources, given as path → text, by the house rules. Returns sentences; none means all is well. */
import { posix } from 'node:path'
import { type ImportSite, importsOf, type Token, tokenize } from './imports.ts'
import {
  EMPTY_NAMES,
  LAST_PURE_LAYER,
  LAYERS,
  MAX_COLUMNS,
  MAX_LINES,
  MAX_LONG_SHARE,
  PURE_BUILTINS,
  PURE_PACKAGES,
  ROOMS,
  type Rooms,
  SOFT_LINES,
  TIMED_BY_CONTRACT,
} from './layers.ts'

/** Paths below `src/`, with forward slashes. */
export type SourceTree = ReadonlyMap<string, string>

interface SourceFile {
  readonly path: string
  readonly folder: string
  readonly layer: number
  readonly tokens: readonly Token[]
  /** Numbers of comment lines over {@link MAX_COLUMNS}; lines with a URL may be longer. */
  readonly wideComments: readonly number[]
  readonly imports: readonly ImportSite[]
  readonly lines: number
}

export function judge(tree: SourceTree): string[] {
  const files = new Map<string, SourceFile>()
  for (const [path, text] of tree) files.set(path, read(path, text))
  const faults: string[] = []
  for (const file of files.values())
    faults.push(
      ...layerFaults(file, files),
      ...roomFaults(file),
      ...purityFaults(file),
      ...timerFaults(file),
      ...shapeFaults(file),
    )
  const long = [...files.values()].filter((file) => file.lines > SOFT_LINES)
  if (long.length > files.size * MAX_LONG_SHARE)
    faults.push(
      `${long.length} of ${files.size} files are over ${SOFT_LINES} lines: ${long.map((f) => f.path).join(', ')}`,
    )
  faults.push(...cycleFaults(files))
  return faults
}

function read(path: string, text: string): SourceFile {
  const folder = path.includes('/') ? path.slice(0, path.indexOf('/')) : path
  const tokens = tokenize(text)
  const lines = text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
  const layer = LAYERS.findIndex((folders) => folders.includes(folder))
  return { path, folder, layer, tokens, wideComments: wideComments(text), imports: importsOf(tokens), lines }
}

/** Biome limits the width of code, but not that of comments. */
function wideComments(text: string): number[] {
  return text
    .split('\n')
    .flatMap((line, i) =>
      line.length > MAX_COLUMNS && /^\s*(?:\/\/|\/\*|\*)/.test(line) && !/https?:\/\//.test(line) ? [i + 1] : [],
    )
}

function target(file: SourceFile, site: ImportSite): string | undefined {
  if (!site.specifier.startsWith('.')) return undefined
  return posix.join(posix.dirname(file.path), site.specifier)
}

function layerFaults(file: SourceFile, files: ReadonlyMap<string, SourceFile>): string[] {
  if (file.layer < 0)
    return [`${file.path}: no layer is assigned to ${file.folder}; add it to test/architecture/layers.ts with a reason`]
  const faults: string[] = []
  for (const site of file.imports) {
    const path = target(file, site)
    const place = `${file.path}:${site.line}`
    if (site.specifier === '(computed)' && file.layer <= LAST_PURE_LAYER)
      faults.push(`${place}: an import of a computed path cannot be checked`)
    if (path === undefined || site.kind === 'url') continue
    if (path.startsWith('..')) {
      faults.push(`${place}: imports ${site.specifier}, which is outside src/`)
      continue
    }
    const other = files.get(path)
    if (other === undefined) faults.push(`${place}: imports ${path}, which does not exist (is the extension missing?)`)
    else if (other.folder === file.folder) continue
    else if (other.layer > file.layer)
      faults.push(`${place}: imports upward: ${file.folder} (${file.layer}) → ${path} (${other.layer})`)
    else if (other.layer === file.layer)
      faults.push(`${place}: imports sideways: ${file.folder} → ${path}, both in layer ${file.layer}`)
  }
  return faults
}

/** The room of a file in a folder that is divided into rooms; '' beside them, undefined elsewhere. */
function roomOf(path: string): string | undefined {
  const [folder, room, ...rest] = path.split('/')
  if (!Object.hasOwn(ROOMS, folder!)) return undefined
  return rest.length === 0 ? '' : room
}

function roomFaults(file: SourceFile): string[] {
  const faults: string[] = []
  const own = roomOf(file.path)
  const rooms = ROOMS[file.folder]
  if (rooms !== undefined && own !== '' && !rooms.ranks.flat().includes(own!))
    faults.push(`${file.path}: no rank is assigned to ${file.folder}/${own}; add it to test/architecture/layers.ts`)
  for (const site of file.imports) {
    const path = target(file, site)
    if (path === undefined || site.kind === 'url') continue
    const room = roomOf(path)
    const place = `${file.path}:${site.line}`
    const folder = path.slice(0, path.indexOf('/'))
    if (room === undefined || (room === own && folder === file.folder)) continue
    if (folder !== file.folder) {
      if (room !== '')
        faults.push(`${place}: imports ${path}, a room of ${folder}; only files beside the rooms are for others`)
      continue
    }
    if (room === '') faults.push(`${place}: the room ${own} imports ${path}, which puts the rooms together`)
    else if (posix.basename(path) !== rooms!.entrances[room])
      faults.push(`${place}: imports ${path}; the way into ${room} is ${rooms!.entrances[room]}`)
    else if (own !== '' && rankOf(rooms!, room) >= rankOf(rooms!, own!))
      faults.push(
        `${place}: imports against the flow: ${own} (${rankOf(rooms!, own!)}) → ${room} (${rankOf(rooms!, room)})`,
      )
  }
  return faults
}

function rankOf(rooms: Rooms, room: string): number {
  return rooms.ranks.findIndex((rank) => rank.includes(room))
}

function purityFaults(file: SourceFile): string[] {
  if (file.layer < 0 || file.layer > LAST_PURE_LAYER) return []
  const faults: string[] = []
  for (const site of file.imports) {
    if (site.specifier.startsWith('.') || site.specifier === '(computed)' || site.typeOnly === true) continue
    const builtin = PURE_BUILTINS[site.specifier]
    if (builtin === 'whole' || PURE_PACKAGES.includes(site.specifier)) continue
    const place = `${file.path}:${site.line}`
    if (builtin === undefined) {
      faults.push(`${place}: ${site.specifier} is not pure, and layer ${file.layer} is; let an edge hand it in`)
      continue
    }
    const strange = importedNames(file.tokens, site).filter((name) => !builtin.includes(name))
    if (strange.length > 0)
      faults.push(`${place}: only ${builtin.join(', ')} of ${site.specifier} are pure, not ${strange.join(', ')}`)
  }
  for (let i = 0; i < file.tokens.length; i++) {
    const impure = impureGlobal(file.tokens, i)
    if (impure !== undefined)
      faults.push(
        `${file.path}:${file.tokens[i]!.line}: ${impure} is not pure; let an edge hand it in (src/lib/clock.ts)`,
      )
  }
  return faults
}

/** Names taken from a module; `*` or a default import counts as the name `*`. */
function importedNames(tokens: readonly Token[], site: ImportSite): string[] {
  const end = tokens.findIndex(
    (token) => token.kind === 'string' && token.text === site.specifier && token.line >= site.line,
  )
  let start = end
  while (start > 0 && tokens[start]!.text !== 'import') start--
  const clause = tokens.slice(start + 1, end - 1)
  const open = clause.findIndex((token) => token.text === '{')
  if (open < 0) return ['*']
  const names: string[] = []
  for (let i = open + 1; i < clause.length; i++) {
    const token = clause[i]!
    if (token.kind !== 'word' || token.text === 'type') continue
    names.push(token.text)
    if (clause[i + 1]?.text === 'as') i += 2
  }
  return names
}

const TIMERS = new Set(['setTimeout', 'setInterval', 'setImmediate'])
const AMBIENT = new Set(['process', 'performance', 'console', 'globalThis'])

function impureGlobal(tokens: readonly Token[], at: number): string | undefined {
  const { kind, text } = tokens[at]!
  if (kind !== 'word') return undefined
  const before = tokens[at - 1]?.text
  const after = tokens[at + 1]?.text
  const member = tokens[at + 2]?.text
  if (before === '.') return undefined
  if (TIMERS.has(text) && after === '(') return text
  if (AMBIENT.has(text) && after === '.') return `${text}.${member}`
  if (text === 'Date' && after === '.' && member === 'now') return 'Date.now'
  if (text === 'Date' && before === 'new' && !(after === '(' && member !== ')')) return 'new Date()'
  if (text === 'Math' && after === '.' && member === 'random') return 'Math.random'
  if (text === 'crypto' && after === '.' && /^(random|getRandom)/.test(member ?? '')) return `crypto.${member}`
  return undefined
}

function timerFaults(file: SourceFile): string[] {
  if (!TIMED_BY_CONTRACT.includes(file.folder)) return []
  const lines = [
    ...file.imports.filter(({ specifier }) => /^(node:)?timers/.test(specifier)).map(({ line }) => line),
    ...file.tokens.flatMap(({ kind, text, line }, i) =>
      kind === 'word' && TIMERS.has(text) && file.tokens[i - 1]?.text !== '.' ? [line] : [],
    ),
  ]
  return lines.map((line) => `${file.path}:${line}: a timer of its own; take a TimerClock (src/lib/clock.ts)`)
}

function shapeFaults(file: SourceFile): string[] {
  const faults: string[] = []
  const name = posix.basename(file.path)
  if (file.lines > MAX_LINES) faults.push(`${file.path}: ${file.lines} lines; split it, ${MAX_LINES} is the most`)
  for (const line of file.wideComments)
    faults.push(`${file.path}:${line}: a comment line over ${MAX_COLUMNS} columns; wrap it`)
  if (EMPTY_NAMES.test(file.path.replace(/^shared-memory\//, '')))
    faults.push(`${file.path}: a name such as utils, helpers, common or manager says nothing; name what it is`)
  if (!/^[a-z0-9]+(-[a-z0-9]+)*(\.d)?\.ts$/.test(name))
    faults.push(`${file.path}: file names are kebab-case and end in .ts`)
  if (name === 'index.ts') faults.push(`${file.path}: index.ts is a barrel's name; name the noun`)
  const stars = file.tokens.some((token, i) => token.text === 'export' && file.tokens[i + 1]?.text === '*')
  const reExports = file.imports.filter((site) => site.kind === 'export').length
  const exports = file.tokens.filter((token) => token.kind === 'word' && token.text === 'export').length
  if (stars || (reExports > 0 && reExports === exports))
    faults.push(`${file.path}: a barrel; import from the file that defines it`)
  if (file.tokens.some((token, i) => token.text === 'export' && file.tokens[i + 1]?.text === 'default'))
    faults.push(`${file.path}: default export; exports have names`)
  return faults
}

/** Type imports count: files that name each other's types can only be read together. */
function cycleFaults(files: ReadonlyMap<string, SourceFile>): string[] {
  const faults: string[] = []
  const state = new Map<string, 'open' | 'done'>()
  const trail: string[] = []
  const visit = (file: SourceFile): void => {
    state.set(file.path, 'open')
    trail.push(file.path)
    for (const site of file.imports) {
      const path = site.kind === 'url' ? undefined : target(file, site)
      const other = path === undefined ? undefined : files.get(path)
      if (other === undefined) continue
      if (state.get(other.path) === 'open')
        faults.push(`cycle: ${[...trail.slice(trail.indexOf(other.path)), other.path].join(' → ')}`)
      else if (!state.has(other.path)) visit(other)
    }
    trail.pop()
    state.set(file.path, 'done')
  }
  for (const file of files.values()) if (!state.has(file.path)) visit(file)
  return faults
}
