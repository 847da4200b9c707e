/**
 * How many bytes this process may take: what the settings say, else the least that a control group from ours up to the
 * root allows (cgroups(7)), else what the machine has. `process.constrainedMemory` of Node looks at our own group
 * alone.
 */
import { readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import { dirname, join } from 'node:path'
import { parseBytes } from '../lib/quantity.ts'

export interface MemoryLimit {
  readonly bytes: number
  readonly from: 'settings' | 'cgroup' | 'machine'
}

/** @returns the text of a file, or undefined where it cannot be read */
type Read = (path: string) => string | undefined

/** Files that limit the memory of a group: version 2 throttles and reclaims from `high` on, and kills at `max`. */
const V2_FILES = ['memory.max', 'memory.high']
const V1_FILES = ['memory.limit_in_bytes']

export async function memoryLimit(settingsFile: string | undefined, read: Read = readText): Promise<MemoryLimit> {
  const said = settingsFile === undefined ? 0 : await memorySetting(read(settingsFile) ?? '')
  if (said > 0) return { bytes: said, from: 'settings' }
  const machine = totalmem()
  const group = cgroupLimit(read)
  return group < machine ? { bytes: group, from: 'cgroup' } : { bytes: machine, from: 'machine' }
}

/**
 * `limits.memory` of the text of a settings file; 0 where it says nothing, or nothing valid: the control thread reads
 * the same file and reports every mistake in it. Threads cannot wait for that, since the size of a heap is fixed when
 * its thread starts.
 */
async function memorySetting(text: string): Promise<number> {
  // The parser costs the main thread some 20 ms and a megabyte, which nearly nobody needs to pay.
  if (!/\bmemory\b/.test(text)) return 0
  try {
    const { parse } = await import('yaml')
    const memory: unknown = (parse(text) as { limits?: { memory?: unknown } } | null)?.limits?.memory
    return typeof memory === 'string' || typeof memory === 'number' ? parseBytes(memory) : 0
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
    // In a container the mount may show our own group as its root, while our path is told from the machine's.
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
  /** The group that is the root of what is mounted. */
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

/** `0::/path` of version 2, `4:memory:/path` of version 1. */
function ownPath(text: string, version: 1 | 2): string | undefined {
  for (const line of text.split('\n')) {
    const [, id, controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? []
    if (version === 2 ? id === '0' && controllers === '' : controllers?.split(',').includes('memory') === true)
      return path
  }
  return undefined
}

/** `max`, and the huge number of version 1, are no limit. */
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
