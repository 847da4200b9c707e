/** What is said of the connection of a worker to Redis: that it answers at first is nothing to be told. */
import type { RedisAccessEdges } from '../store/redis/redis-access.ts'

export interface AccessReportEdges {
  /** Redis cannot be asked, for the log. */
  problem(message: string): void
  /** It can again. */
  recovered(message: string): void
}

/** @param what it is asked for, before each message */
export function accessReport(what: string, { problem, recovered }: AccessReportEdges): RedisAccessEdges['report'] {
  let away = false
  return (level, message) => {
    const text = `${what}: ${message}`
    if (level === 'warn') problem(text)
    else if (away) recovered(text)
    away = level === 'warn'
  }
}
