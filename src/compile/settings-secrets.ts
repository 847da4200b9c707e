/** Secrets and key sets that the settings name, which no object has a status for. */
import type { Reference } from '../api/references.ts'
import { settingsReferences } from '../api/references.ts'
import { KEY_SET } from '../policy/auth/key-set.ts'
import { timeFindings } from './certificate-findings.ts'
import { payloadFault } from './payload-summary.ts'
import { nodeId } from './reference-graph.ts'
import type { ResourceSet } from './resource-set.ts'

/** What is wrong with them, or will be soon; each a sentence without its full stop. */
export function settingsSecretFaults(resources: ResourceSet): string[] {
  return [...settingsReferences(resources.settings)].flatMap((reference) => {
    if (reference.kind !== 'Secret' && reference.kind !== KEY_SET) return []
    return faultsOf(resources, reference).map((message) => `${reference.path.join('.')}: ${message}`)
  })
}

function faultsOf(resources: ResourceSet, reference: Reference): string[] {
  const fault = payloadFault(resources, reference)
  if (reference.kind === KEY_SET) return fault === undefined || fault.reason === 'Pending' ? [] : [fault.message]
  const secret = `${reference.namespace}/${reference.name}`
  const { secret: summary } = resources.payloads.get(nodeId('Secret', secret)) ?? {}
  const { faults, soon } = timeFindings(`the certificate in Secret ${secret}`, summary)
  return [...(fault === undefined ? [] : [fault.message]), ...faults.map(({ message }) => message), ...soon]
}
