/** The only writer of the access log, in the control thread: four threads writing to one pipe tore 4 % of the lines. */
import { LinePump } from './line-pump.ts'
import { type LineOutput, openOutput } from './output.ts'

export interface AccessLogWriterOptions {
  /** The workers' rings, in any order; they belong to the process and outlive this writer. */
  readonly rings: readonly SharedArrayBuffer[]
  readonly out: LineOutput | { readonly path: string } | { readonly fd: number }
  /** See {@link LinePump}; reported in the process log. */
  readonly onDrop: (lines: number) => void
  readonly onError?: (error: Error) => void
}

/** @throws {Error} from the system when the output cannot be opened */
export function createAccessLogWriter(options: AccessLogWriterOptions): LinePump {
  const { rings, out, onDrop, onError = () => {} } = options
  return new LinePump({ rings, out: 'write' in out ? out : openOutput(out), onDrop, onError })
}
