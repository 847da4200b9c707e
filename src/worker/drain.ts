/** The end of a worker: its clients first, then what goes on without any. */

import type { ExchangeContext } from '../exchange/exchange-context.ts'
import { GatewayError } from '../lib/error.ts'
import type { Listeners } from './listeners.ts'

/** Milliseconds for exchanges without a client behind all others: other workers' clients may read what they fetch. */
const UNATTENDED_GRACE = 2_000
/** Milliseconds between two looks. */
const STEP = 50

/** @param grace milliseconds until everything is cut */
export async function drainWorker(
  listeners: Pick<Listeners, 'drain'>,
  context: Pick<ExchangeContext, 'active' | 'timers' | 'unattended'>,
  grace: number,
): Promise<void> {
  const { unattended, timers } = context
  const until = timers.touch() + grace
  unattended.closed = true
  await listeners.drain(grace, () => context.active - unattended.size)
  const last = Math.min(until, timers.touch() + UNATTENDED_GRACE)
  while (unattended.size > 0 && timers.touch() < last) await new Promise((resolve) => setTimeout(resolve, STEP))
  unattended.end(new GatewayError('ShuttingDown'))
}
