/** Figures of a comparison as a table for people. */
import type { Comparison, Figures, Ratio } from './compare.ts'

export interface TableOptions {
  /** What is counted; default: requests. */
  readonly unit?: string
  /** By server, the ratio of processor time that is wanted at most. */
  readonly wanted?: Readonly<Record<string, number | undefined>>
}

export function comparisonTable(shows: string, comparison: Comparison, options: TableOptions = {}): string {
  const { unit = 'request', wanted = {} } = options
  const heads = [`CPU µs/${unit}`.padStart(18), `${unit}s/s`.padStart(14), '  p50 ms', '  p99 ms', '  failed'].join(' ')
  const lines = [`\n${shows}`, `            ${heads}`, ...comparison.figures.map(row)]
  for (const ratio of comparison.ratios) lines.push(ratioLine(unit, ratio, wanted[ratio.server]))
  return lines.join('\n')
}

export function failures({ figures }: Comparison): number {
  return figures.reduce((sum, side) => sum + side.failed, 0)
}

function ratioLine(unit: string, { server, cpu, perSecond }: Ratio, most: number | undefined): string {
  const wanted = most === undefined ? '' : ` (wanted: at most ${most.toFixed(2)})`
  return `  ratio of CPU per ${unit}: ${cpu.toFixed(2)} × ${server}${wanted}; ${unit}s a second: ${perSecond.toFixed(2)} ×`
}

function row(side: Figures): string {
  const cells = [
    side.cpuPerRequest.toFixed(1).padStart(18),
    side.perSecond.toFixed(0).padStart(14),
    milliseconds(side.p50),
    milliseconds(side.p99),
    String(side.failed).padStart(8),
  ]
  return `  ${side.server.padEnd(10)}${cells.join(' ')}`
}

/** Not every load client tells its times. */
function milliseconds(time: number): string {
  return (Number.isNaN(time) ? '-' : time.toFixed(2)).padStart(8)
}
