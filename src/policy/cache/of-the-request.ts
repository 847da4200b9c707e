import type { StoreReason } from '../../cache/verdicts.ts'

/** Why a response is not stored because of its request. */
export const OF_THE_REQUEST: ReadonlySet<StoreReason> = new Set<StoreReason>([
  'RequestNoStore',
  'RequestFields',
  'RequestContent',
  'Method',
  'Credentials',
])
