/**
 * Divides the limit of open files among the process, client connections and upstream connections. The division happens
 * before the first connection, because at EMFILE the kernel closes a client's connection without a response. Node
 * raises the soft limit to the hard limit when it starts and cannot raise the hard limit: `ulimit -Hn`, systemd's
 * LimitNOFILE or the container runtime does.
 */
import { readFileSync } from 'node:fs'

/** Covers probes and the admin API (64 connections each), DNS, files, the log and a few watches of an API server. */
const PROCESS_RESERVE = 256
/** Applies where it exceeds {@link PROCESS_RESERVE}: every watched namespace takes several watch connections. */
const RESERVED_SHARE = 1 / 16
/** Of the reserve, for connections of probes, kept ones included; the most are what one thread can make use of. */
const PROBE_SHARE = 1 / 4
const MIN_PROBES = 4
const MAX_PROBES = 16_384
/** Covers the listeners and the event loop of one thread. */
const THREAD_RESERVE = 32

/** Listeners for which there are files whatever else is open; sockets of a worker for each, where files are plenty. */
const MANY_LISTENERS = 64
const SOCKETS = 4
/** Of the reserve, for the sockets of all listeners. */
const LISTENER_SHARE = 1 / 2

/** Assumed on systems that do not report their limit. */
const UNKNOWN_LIMIT = 1_024

/**
 * What clients, and upstreams, may have of a worker's descriptors while the others leave them that: an active client
 * takes a second one upstream, an idle one does not. So each has the rest of the other for sure.
 */
const CLIENT_SHARE = 0.82
const UPSTREAM_SHARE = 0.4

export interface DescriptorBudget {
  /** Limit of open files of the process. */
  readonly limit: number
  /** Connections per worker, to clients and upstreams together. */
  readonly connections: number
  /** Client connections per worker. */
  readonly clients: number
  /** Upstream connections per worker. */
  readonly upstreams: number
  /** Sockets of probes, of all the process. */
  readonly probes: number
  /** Of a worker at each address and port that it listens on; the same for all as long as the process lives. */
  readonly sockets: number
}

/** @param limit of open files of the process; Infinity counts as a million */
export function divideDescriptors(limit: number, workers: number): DescriptorBudget {
  const known = Math.min(limit, 1_000_000)
  const reserve = Math.max(Math.min(PROCESS_RESERVE, known / 4), known * RESERVED_SHARE)
  const usable = known - reserve - THREAD_RESERVE * (workers + 1)
  const each = Math.max(usable, workers * 20) / workers
  return {
    limit,
    connections: Math.floor(each),
    clients: Math.floor(each * CLIENT_SHARE),
    upstreams: Math.floor(each * UPSTREAM_SHARE),
    probes: Math.min(Math.max(Math.floor(reserve * PROBE_SHARE), MIN_PROBES), MAX_PROBES),
    sockets: Math.min(Math.max(Math.floor((reserve * LISTENER_SHARE) / (MANY_LISTENERS * workers)), 1), SOCKETS),
  }
}

/** Reads the soft limit of open files in force. */
export function descriptorLimit(): number {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
    if (line?.[1] !== undefined) return line[1] === 'unlimited' ? Number.POSITIVE_INFINITY : Number(line[1])
  } catch {
    // Not Linux: the diagnostic report contains the limit.
  }
  Object.assign(process.report, { excludeNetwork: true })
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft?: number | string } } }
  const soft = report.userLimits?.open_files?.soft
  if (soft === 'unlimited') return Number.POSITIVE_INFINITY
  return typeof soft === 'number' ? soft : UNKNOWN_LIMIT
}
