/** Removes a cluster completely, from any state: processes, mounts, groups, network, files. */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { attempt, execute } from '../lib/execute.ts'
import { type ClusterLayout, networkOf } from './cluster-layout.ts'
import { processesOf, removeGroup } from './control-group.ts'

const PATIENCE_MS = 20_000

/** What stays of the state folder where the logs are wanted. */
const KEPT = new Set(['logs'])

export async function down(layout: ClusterLayout, { keepLogs = false } = {}): Promise<void> {
  await endProcesses(layout)
  await unmount(layout)
  removeGroup(layout)
  if (networkOf(layout) !== undefined) await execute('ip', ['netns', 'del', layout.name])
  if (!existsSync(layout.state)) return
  if (!keepLogs) return rmSync(layout.state, { recursive: true, force: true })
  for (const entry of readdirSync(layout.state)) {
    if (!KEPT.has(entry)) rmSync(join(layout.state, entry), { recursive: true, force: true })
  }
  mkdirSync(layout.logs, { recursive: true })
}

/**
 * Whatever runs in the network namespace or the control group of this cluster is part of it. Nothing of it is worth an
 * orderly end, so all is killed; and looked for again, because what was just being started comes late.
 */
async function endProcesses(layout: ClusterLayout): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS
  for (let calm = 0; calm < 2; await sleep(50)) {
    const left = [...new Set([...inNetwork(layout), ...processesOf(layout)])].filter((pid) => pid !== process.pid)
    calm = left.length === 0 ? calm + 1 : 0
    for (const pid of left) kill(pid)
    if (Date.now() > deadline) throw new Error(`processes do not end: ${left.join(', ')}`)
  }
}

function inNetwork(layout: ClusterLayout): number[] {
  const network = networkOf(layout)
  if (network === undefined) return []
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`) === `net:[${network}]`
      } catch {
        return false
      }
    })
    .map(Number)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // Gone by itself meanwhile.
  }
}

/** Everything mounted below the state folder, innermost first. */
async function unmount(layout: ClusterLayout): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .map((line) =>
        (line.split(' ')[1] ?? '').replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8))),
      )
      .filter((path) => path.startsWith(`${layout.state}/`))
    if (mounts.length === 0) return
    for (const path of mounts.reverse()) await attempt('umount', ['-l', path])
  }
}
