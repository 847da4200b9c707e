import type { EndpointRow } from '../../thread/messages.ts'

/** Whether workers would make the same of both lists. */
export function sameRows(a: readonly EndpointRow[], b: readonly EndpointRow[]): boolean {
  return (
    a.length === b.length &&
    a.every((one, i) => {
      const other = b[i]!
      return (
        one.slot === other.slot &&
        one.weight === other.weight &&
        one.state === other.state &&
        one.zone === other.zone &&
        one.serves === other.serves &&
        one.hostname === other.hostname
      )
    })
  )
}
