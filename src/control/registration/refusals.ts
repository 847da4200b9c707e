/** Refusals of registrations, in words for their client. */
import type { RegistrationRefusal } from '../../admin/registrations.ts'

export type RefusalText = Omit<RegistrationRefusal, 'ok'>

export function refuse(text: RefusalText): RegistrationRefusal {
  return { ok: false, ...text }
}
