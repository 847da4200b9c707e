/**
 * How many connections this process can hold. At EMFILE a client is closed without a word, so the limit is divided
 * beforehand. Node raises the soft limit to the hard one when it starts and has no call to raise it further: that is
 * for `ulimit -Hn`, systemd's LimitNOFILE or the container runtime.
 */
import { readFileSync } from 'node:fs'

/** For probes and the admin API (64 connections each), DNS, files, the log, and a few watches of an API server. */
const PROCESS_RESERVE = 256
/**
 * Of the limit, where that is more: a watch of an API server is a connection, and there are some for every namespace
 * that is watched.
 */
const RESERVED_SHARE = 1 / 16
/** Listeners and event loop. */
const THREAD_RESERVE = 24

/** Assumed where the system does not say. */
const UNKNOWN_LIMIT = 1_024

/** Of what is left, clients get this share: a busy client needs a second descriptor upstream, an idle one does not. */
const CLIENT_SHARE = 0.6

export interface DescriptorBudget {
  /** Open files the process may have. */
  readonly limit: number
  /** Client connections of one worker. */
  readonly clients: number
  /** Upstream connections of one worker. */
  readonly upstreams: number
}

/** @param limit open files the process may have; Infinity counts as a million */
export function divideDescriptors(limit: number, workers: number): DescriptorBudget {
  const known = Math.min(limit, 1_000_000)
  const reserve = Math.max(Math.min(PROCESS_RESERVE, known / 4), known * RESERVED_SHARE)
  const usable = known - reserve - THREAD_RESERVE * (workers + 1)
  const each = Math.max(usable, workers * 20) / workers
  const clients = Math.floor(each * CLIENT_SHARE)
  return { limit, clients, upstreams: Math.floor(each) - clients }
}

/** The soft limit of open files now in force. */
export function descriptorLimit(): number {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    if (line?.[1] !== undefined) return line[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line[1])
  } catch {
    // Not Linux: the diagnostic report knows.
  }
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const soft = report.userLimits?.open_files?.soft
  if (soft === 'unlimited') return Number.POSITIVE_INFINITY
  return typeof soft === 'number' ? soft : UNKNOWN_LIMIT
}
