/**
 * Client connections that one worker accepts at a time: as many as the settings ask for, as far as files and memory go.
 */
import { formatMebibytes } from '../lib/memory-budget.ts'

export interface ConnectionRoom {
  /** Open files the process may have, and the client connections of one worker for which they suffice. */
  readonly files: { readonly limit: number; readonly clients: number }
  /** Bytes of memory, and the client connections of one worker for which they suffice. */
  readonly memory: { readonly limit: number; readonly connections: number }
}

export function connectionsOf({ files, memory }: ConnectionRoom): number {
  return Math.min(files.clients, memory.connections)
}

/**
 * @param asked `limits.connections` of the settings; 0 is as many as there is room for
 * @returns for the log: why fewer are accepted than are asked for
 */
export function connectionsWarning(asked: number, room: ConnectionRoom): string | undefined {
  const accepted = connectionsOf(room)
  if (asked <= accepted) return undefined
  const { files, memory } = room
  const [why, remedy] =
    accepted < files.clients
      ? [`the process may take ${formatMebibytes(memory.limit)} of memory`, 'Raise the limit of memory']
      : [`the process may have ${files.limit} open files`, 'Raise the hard limit (ulimit -Hn, LimitNOFILE)']
  return `limits.connections is ${asked} per worker, but ${why}: ${accepted} are accepted. ${remedy}, or lower the setting.`
}
