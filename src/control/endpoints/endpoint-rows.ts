import type { EndpointDifference } from '../../thread/endpoint-rows.ts'
import type { EndpointRow } from '../../thread/messages.ts'

/** What makes the one list of the other in a worker; undefined when there is nothing to do. */
export function differenceOf(
  before: readonly EndpointRow[],
  after: readonly EndpointRow[],
): EndpointDifference | undefined {
  const known = new Map(before.map((row) => [row.slot, row]))
  const rows: EndpointRow[] = []
  for (const row of after) {
    const other = known.get(row.slot)
    if (other === undefined || !sameRow(row, other)) rows.push(row)
    known.delete(row.slot)
  }
  return rows.length === 0 && known.size === 0 ? undefined : { gone: [...known.keys()], rows }
}

function sameRow(one: EndpointRow, other: EndpointRow): boolean {
  return (
    one === other ||
    (one.weight === other.weight &&
      one.state === other.state &&
      one.zone === other.zone &&
      one.serves === other.serves &&
      one.hostname === other.hostname)
  )
}
