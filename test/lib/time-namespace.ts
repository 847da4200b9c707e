/** Programs that see another uptime of the machine: Linux has clocks of their own for them (time_namespaces(7)). */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { find } from '../../bench/lib/programs.ts'

const UNSHARE = find('unshare')

function uptimeNow(): number {
  return Math.floor(Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]))
}

/** @param uptime seconds @returns command and arguments, to be put in front of a program that begins now */
export function withUptime(uptime: number): readonly string[] {
  const offset = String(Math.floor(uptime) - uptimeNow())
  return [UNSHARE ?? 'unshare', '--time', '--monotonic', offset, '--boottime', offset, '--']
}

function refusal(): string | false {
  if (UNSHARE === undefined) return 'there is no unshare (util-linux)'
  const year = 31_536_000
  const [command, ...rest] = withUptime(year)
  const { stdout, stderr } = spawnSync(command!, [...rest, 'cat', '/proc/uptime'], { encoding: 'latin1' })
  // Before Linux 6.0 only a child has the other clock.
  if (!(Number.parseFloat(stdout) > year - 10)) return `the system gives no other uptime: ${stderr || stdout}`
  return false
}

/** Why no program here can have another uptime; false: it can. */
export const NO_OTHER_UPTIME = refusal()
