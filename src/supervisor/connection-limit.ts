/**
 * Limits the client connections of one worker to what the settings request and what file descriptors and memory allow.
 */
import { formatMebibytes } from '../lib/memory-budget.ts'

export interface ConnectionCapacity {
  /** The process's limit of open files, and the client connections per worker that it allows. */
  readonly files: { readonly limit: number; readonly clients: number }
  /** The process's memory limit in bytes, and the client connections per worker that it allows. */
  readonly memory: { readonly limit: number; readonly connections: number }
}

export function connectionLimit({ files, memory }: ConnectionCapacity): number {
  return Math.min(files.clients, memory.connections)
}

/**
 * @param requested `limits.connections` of the settings; 0 means as many as the capacity allows
 * @returns a log message that says why fewer connections are accepted than requested; undefined when all are
 */
export function connectionLimitWarning(requested: number, capacity: ConnectionCapacity): string | undefined {
  const accepted = connectionLimit(capacity)
  if (requested <= accepted) return undefined
  const { files, memory } = capacity
  const [why, remedy] =
    accepted < files.clients
      ? [`the process may take ${formatMebibytes(memory.limit)} of memory`, 'Raise the limit of memory']
      : [`the process may have ${files.limit} open files`, 'Raise the hard limit (ulimit -Hn, LimitNOFILE)']
  return `limits.connections is ${requested} per worker, but ${why}: ${accepted} are accepted. ${remedy}, or lower the setting.`
}
