/** What a person is told about a cluster that cannot be read as it should be. */
import type { SourceProblem } from '../source.ts'
import type { ApiError } from './api-error.ts'
import type { Feed } from './feed.ts'
import { resourceName, resourceOf } from './resources.ts'

/** A hiccup that is over with the next attempt is nobody's business. */
const HICCUP = 2

/**
 * @param server as a person would look for it
 * @returns each once, in an order that does not depend on chance
 */
export function clusterProblems(feeds: Iterable<Feed>, server: string): SourceProblem[] {
  const found = new Map<string, SourceProblem>()
  let away: { readonly error: ApiError; serving: boolean } | undefined
  for (const feed of feeds) {
    const { trouble, state } = feed
    if (trouble === undefined) continue
    const { error, failures } = trouble
    if (isAway(error)) {
      if (state === 'synced' && failures < HICCUP) continue
      away ??= { error, serving: true }
      if (state !== 'synced') away.serving = false
      continue
    }
    const problem = problemOf(feed, error, server)
    if (problem.reason !== 'ClusterUnavailable' || state !== 'synced' || failures >= HICCUP)
      found.set(problem.message, problem)
  }
  if (away !== undefined) {
    const problem = awayProblem(away.error, server, away.serving)
    found.set(problem.message, problem)
  }
  return [...found.values()].sort((a, b) => (a.message < b.message ? -1 : a.message > b.message ? 1 : 0))
}

function isAway({ reason }: ApiError): boolean {
  return reason === 'Unreachable' || reason === 'TimedOut'
}

function awayProblem(error: ApiError, server: string, serving: boolean): SourceProblem {
  const meanwhile = serving ? 'what was read keeps serving' : 'not everything was read yet'
  const message = `The API server at ${server} cannot be reached: ${error.message}; ${meanwhile}, and it is tried again.`
  return { severity: 'error', reason: 'ClusterUnavailable', message }
}

function problemOf(feed: Feed, error: ApiError, server: string): SourceProblem {
  const { kind, namespace } = feed.scope
  const resource = resourceName(kind)
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`
  if (error.status === 403) {
    const verb = feed.trouble?.verb ?? 'list'
    const scope = namespace === undefined ? 'a ClusterRole' : `a Role in namespace ${namespace}`
    const message = `Not allowed to ${verb} ${resource}${where}: ${scope} must grant get, list and watch on it. The rest is served. (${error.message})`
    return { severity: 'error', reason: 'Forbidden', message }
  }
  if (error.status === 404) {
    const { apiVersion, group } = resourceOf(kind)
    const cure = group === 'headgate.dev' ? 'apply the CRDs that come with this version' : 'is it disabled?'
    const message = `The API server does not serve ${resource} in version ${apiVersion}: ${cure}. It is looked for until it is there.`
    return { severity: 'error', reason: 'KindMissing', message }
  }
  return { severity: 'error', reason: 'ClusterUnavailable', message: refusal(error, server, `${resource}${where}`) }
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
