/**
 * Determines the memory limit of this process: the settings' value, else the lowest limit of its control group and all
 * ancestors (cgroups(7)), else the memory of the machine. Node's `process.constrainedMemory` reads the process's own
 * group only.
 */
import { readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { divideMemory, type MemoryBudget } from '../lib/memory-budget.ts'
import { parseBytes } from '../lib/quantity.ts'

export interface MemoryLimit {
  readonly bytes: number
  readonly from: 'settings' | 'cgroup' | 'machine'
  /** `cache.memory` of the settings, bytes; 0: a share of the limit. */
  readonly cache: number
  /** Whether the cache may have files: there is a state directory, and `cache.files` is not 0. */
  readonly files: boolean
}

/** @returns the text of a file, or undefined where it cannot be read */
type Read = (path: string) => string | undefined

/** Whether the kernel balances connections among the sockets of one port (SO_REUSEPORT on Linux). */
export const REUSE_PORT_BALANCES = process.platform === 'linux'

/** Files that limit the memory of a group: version 2 throttles and reclaims from `high` on, and kills at `max`. */
const V2_FILES = ['memory.max', 'memory.high']
const V1_FILES = ['memory.limit_in_bytes']

/** @param hasState a flag names the state directory, whatever the settings say */
export async function memoryLimit(
  settingsFile: string | undefined,
  read: Read = readText,
  hasState = false,
): Promise<MemoryLimit> {
  const text = settingsFile === undefined ? '' : (read(settingsFile) ?? '')
  const { limit, ...cache } = await memorySettings(text, hasState)
  if (limit > 0) return { bytes: limit, from: 'settings', ...cache }
  const machine = totalmem()
  const group = cgroupLimit(read)
  return group < machine ? { bytes: group, from: 'cgroup', ...cache } : { bytes: machine, from: 'machine', ...cache }
}

/** What `headgate run --config` would divide here, with these settings and no other flag. */
export async function folderBudget(settingsFile: string | undefined): Promise<MemoryBudget> {
  const { bytes, cache, files } = await memoryLimit(settingsFile)
  return divideMemory(bytes, REUSE_PORT_BALANCES ? availableParallelism() : 1, cache, files)
}

interface MemorySettings {
  readonly limits?: { readonly memory?: unknown } | null
  readonly cache?: { readonly memory?: unknown; readonly files?: unknown } | null
  readonly stateDirectory?: unknown
}

/**
 * Reads `limits.memory`, `cache.memory` and whether there may be files from the text of a settings file. A number is 0
 * where it is absent or invalid: the control thread reads the same file and reports its errors. The values are needed
 * before that, because a thread's heap limit is fixed at its start.
 */
async function memorySettings(
  text: string,
  hasState: boolean,
): Promise<{ readonly limit: number; readonly cache: number; readonly files: boolean }> {
  // Loading the parser takes about 20 ms and 1 MB, which most settings files do not need here.
  const none = { limit: 0, cache: 0, files: hasState }
  if (!/\b(memory|stateDirectory|files)\b/.test(text)) return none
  try {
    const { parse } = await import('yaml')
    const { limits, cache, stateDirectory } = (parse(text) as MemorySettings | null) ?? {}
    return {
      limit: bytesOf(limits?.memory),
      cache: bytesOf(cache?.memory),
      files:
        (hasState || typeof stateDirectory === 'string') && (cache?.files === undefined || bytesOf(cache.files) > 0),
    }
  } catch {
    return none
  }
}

function bytesOf(value: unknown): number {
  try {
    return typeof value === 'string' || typeof value === 'number' ? parseBytes(value) : 0
  } catch {
    return 0
  }
}

/** @returns bytes; Infinity where no group has a limit, or there are no groups */
export function cgroupLimit(read: Read): number {
  let limit = Number.POSITIVE_INFINITY
  const own = read('/proc/self/cgroup') ?? ''
  for (const { version, root, point } of mounts(read('/proc/self/mountinfo') ?? '')) {
    const path = ownPath(own, version)
    if (path === undefined) continue
    // In a container the mount's root may be the process's own group, while the path is relative to the machine's root.
    const below = path === root || path.startsWith(`${root === '/' ? '' : root}/`) ? path.slice(root.length) : ''
    for (let folder = join(point, below); ; folder = dirname(folder)) {
      for (const file of version === 2 ? V2_FILES : V1_FILES)
        limit = Math.min(limit, numberIn(read(join(folder, file))))
      if (folder.length <= point.length) break
    }
  }
  return limit
}

interface Mount {
  readonly version: 1 | 2
  /** Path of the group at the mount's root. */
  readonly root: string
  readonly point: string
}

/** proc_pid_mountinfo(5): `36 35 98:0 /root /point options optional… - type source superoptions` */
function mounts(text: string): Mount[] {
  const found: Mount[] = []
  for (const line of text.split('\n')) {
    const [first, second] = line.split(' - ', 2)
    if (first === undefined || second === undefined) continue
    const [, , , root, point] = first.split(' ')
    const [type, , options = ''] = second.split(' ')
    if (root === undefined || point === undefined) continue
    if (type === 'cgroup2') found.push({ version: 2, root, point })
    else if (type === 'cgroup' && options.split(',').includes('memory')) found.push({ version: 1, root, point })
  }
  return found
}

/** Finds the process's own path in `/proc/self/cgroup`: `0::/path` in version 2, `4:memory:/path` in version 1. */
function ownPath(text: string, version: 1 | 2): string | undefined {
  for (const line of text.split('\n')) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (version === 2 ? id === '0' && controllers === '' : controllers?.split(',').includes('memory') === true)
      return path
  }
  return undefined
}

/** `max` in version 2, and the largest page count in version 1, mean that there is no limit. */
function numberIn(text: string | undefined): number {
  const number = Number(text?.trim() || 'max')
  return number > 0 && number < Number.MAX_SAFE_INTEGER ? number : Number.POSITIVE_INFINITY
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
