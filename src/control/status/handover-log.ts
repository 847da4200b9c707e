/** Hostnames that have come to another namespace are told in the log, and by Events. */
import { type Handovers, handoverText } from '../../compile/handover.ts'
import type { ConfigurationParts } from '../publish/configuration-parts.ts'

/** By one change; more are counted. */
const TOLD = 50

export function tellHandovers(
  { handovers, more }: ReturnType<Handovers['take']>,
  { log, duties }: Pick<ConfigurationParts, 'log' | 'duties'>,
): void {
  for (const handover of handovers.slice(0, TOLD)) log.warn(handoverText(handover))
  const untold = more + Math.max(0, handovers.length - TOLD)
  if (untold > 0) log.warn(`and ${untold} more hostnames have come to another namespace`)
  if (handovers.length > 0) duties()?.handedOver(handovers)
}
