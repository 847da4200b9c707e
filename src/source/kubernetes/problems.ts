/** Reports failing informers as problems of the source. */
import { apiVersionOf, resourceNameOf } from '../../api/kinds.ts'
import type { SourceProblem } from '../source.ts'
import type { ApiError } from './api-error.ts'
import type { Informer } from './informer.ts'

/** Consecutive failures before a transient error is reported. */
const MIN_FAILURES = 2

/** Likewise for expired versions: one relist after an absence is normal, repeated ones are not. */
const MIN_EXPIRED_FAILURES = 4

interface FailingInformer {
  readonly informer: Informer
  readonly error: ApiError
  /** Other informers fail for the same reason. */
  shared: boolean
}

/**
 * @param server address of the API server, for messages
 * @returns each problem once, in a deterministic order
 */
export function clusterProblems(informers: Iterable<Informer>, server: string): SourceProblem[] {
  const found = new Map<string, FailingInformer>()
  let away: { readonly error: ApiError; serving: boolean } | undefined
  for (const informer of informers) {
    const { failure: trouble, state } = informer
    if (trouble === undefined) continue
    const { error, failures } = trouble
    const patience = error.expired ? MIN_EXPIRED_FAILURES : state === 'synced' && !isPermanent(error) ? MIN_FAILURES : 1
    if (failures < patience) continue
    if (isUnavailable(error)) {
      away ??= { error, serving: true }
      if (state !== 'synced') away.serving = false
      continue
    }
    const cause = causeOf(informer, error)
    const other = found.get(cause)
    if (other === undefined) found.set(cause, { informer, error, shared: false })
    else other.shared = true
  }
  const problems = [...found.values()].map((one) => problemOf(one, server))
  if (away !== undefined) problems.push(unavailableProblem(away.error, server, away.serving))
  return problems.sort((a, b) => (a.message < b.message ? -1 : a.message > b.message ? 1 : 0))
}

/** Whether the error persists until somebody acts. */
function isPermanent({ status, reason }: ApiError): boolean {
  return status === 403 || status === 404 || status === 401 || reason === 'NoCredentials'
}

/** Groups failures: hundreds of watches may fail for one reason. */
function causeOf({ scope, failure: trouble }: Informer, { status, reason }: ApiError): string {
  if (status === 403) return `${status} ${trouble?.verb} ${scope.kind} ${scope.namespace}`
  return status === 404 ? `${status} ${scope.kind}` : `${status} ${reason}`
}

function isUnavailable({ reason }: ApiError): boolean {
  return reason === 'Unreachable' || reason === 'TimedOut'
}

function unavailableProblem(error: ApiError, server: string, serving: boolean): SourceProblem {
  const meanwhile = serving ? 'what was read keeps serving' : 'not everything was read yet'
  const message = `The API server at ${server} cannot be reached: ${error.message}; ${meanwhile}, and it is tried again.`
  return { severity: 'error', reason: 'ClusterUnavailable', message }
}

function problemOf({ informer, error, shared }: FailingInformer, server: string): SourceProblem {
  const { kind, namespace } = informer.scope
  const resource = resourceNameOf(informer.resource)
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`
  if (error.status === 403) {
    const verb = informer.failure?.verb ?? 'list'
    const scope = namespace === undefined ? 'a ClusterRole' : `a ClusterRole, or a Role in namespace ${namespace},`
    const message = `Not allowed to ${verb} ${resource}${where}: ${scope} must grant get, list and watch on it. The rest is served. (${error.message})`
    return { severity: 'error', reason: 'Forbidden', message, kind }
  }
  if (error.status === 404) {
    const cure =
      informer.resource.group === 'headgate.dev' ? 'apply the CRDs that come with this version' : 'is it disabled?'
    const message = `The API server does not serve ${resource} in version ${apiVersionOf(informer.resource)}: ${cure}. It is looked for until it is there.`
    return { severity: 'error', reason: 'KindMissing', message }
  }
  return {
    severity: 'error',
    reason: 'ClusterUnavailable',
    message: refusal(error, server, `${resource}${where}${shared ? ' and others' : ''}`),
  }
}

function refusal(error: ApiError, server: string, what: string): string {
  switch (error.reason) {
    case 'NoCredentials':
      return `There are no credentials for the API server at ${server}: ${error.message}.`
    case 'BadAnswer':
      return `What the API server at ${server} says about ${what} is not usable: ${error.message}; it is asked again.`
    default:
      if (error.status === 401)
        return `The API server at ${server} does not accept our credentials (${error.message}); they are read again.`
      return `The API server at ${server} cannot tell about ${what}: ${error.message} (${error.status} ${error.reason}); it is asked again.`
  }
}
