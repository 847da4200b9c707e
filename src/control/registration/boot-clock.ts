/** A clock that goes on over restarts of the process and cannot be set: the uptime of the machine. */
import { readFileSync } from 'node:fs'
import { uptime } from 'node:os'
import type { Milliseconds } from '../../lib/clock.ts'

export interface BootClock {
  /** Identifies the boot; empty where the system does not tell, and uptimes of two processes cannot be compared. */
  readonly boot: string
  uptime(): Milliseconds
}

export function systemBootClock(): BootClock {
  let boot = ''
  try {
    boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // Not Linux: the wall clock decides.
  }
  return { boot, uptime: () => uptime() * 1_000 }
}
