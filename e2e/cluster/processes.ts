/** Programs that stay: started in the cluster's network with a log file, known by process id and start time. */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterLayout } from './cluster-layout.ts'

interface Record {
  readonly pid: number
  /** Of the process, in ticks since boot: a process id alone may be somebody else's by now. */
  readonly startTime: string
  readonly command: readonly string[]
}

/** Starts a program, or hands back that it runs already. */
export async function start(layout: ClusterLayout, name: string, command: readonly string[]): Promise<void> {
  if (isRunning(layout, name)) return
  mkdirSync(join(layout.state, 'processes'), { recursive: true })
  mkdirSync(layout.logs, { recursive: true })
  const log = openSync(join(layout.logs, `${name}.log`), 'a')
  const child = spawn('nsenter', [...layout.enter, ...command], {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: layout.state,
  })
  closeSync(log)
  await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject))
  child.unref()
  const record: Record = { pid: child.pid!, startTime: startTimeOf(child.pid!) ?? '', command }
  writeFileSync(recordFile(layout, name), JSON.stringify(record))
}

/** Starts what `stop` has ended, as it was started before. */
export async function restartProcess(layout: ClusterLayout, name: string): Promise<void> {
  await start(layout, name, recordOf(layout, name)!.command)
}

/** Ends a program and waits until it is gone; killed where it does not go within the time. */
export async function stop(
  layout: ClusterLayout,
  name: string,
  { signal = 'SIGTERM', patience = 10_000 }: { signal?: NodeJS.Signals; patience?: number } = {},
): Promise<void> {
  if (!isRunning(layout, name)) return
  const { pid } = recordOf(layout, name)!
  process.kill(pid, signal)
  for (let waited = 0; isRunning(layout, name); waited += 20) {
    if (waited >= patience) process.kill(pid, 'SIGKILL')
    await sleep(20)
  }
}

export function isRunning(layout: ClusterLayout, name: string): boolean {
  const record = recordOf(layout, name)
  return record !== undefined && startTimeOf(record.pid) === record.startTime
}

/** The end of what a program said. */
export function lastLines(layout: ClusterLayout, name: string, lines = 8): string {
  try {
    return readFileSync(join(layout.logs, `${name}.log`), 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-lines)
      .join('\n')
  } catch {
    return ''
  }
}

function recordOf(layout: ClusterLayout, name: string): Record | undefined {
  try {
    return JSON.parse(readFileSync(recordFile(layout, name), 'utf8'))
  } catch {
    return undefined
  }
}

const recordFile = (layout: ClusterLayout, name: string) => join(layout.state, 'processes', `${name}.json`)

function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The name in brackets may hold anything; what follows it is numbers. A zombie has ended.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
