/** What a schema cannot say of the TLS of a Route. */
import type { FieldProblem } from './object.ts'
import type { Route } from './route.ts'

/** @param route valid by its schema */
export function tlsProblems({ spec }: Route): FieldProblem[] {
  const { tls, hostnames = [], rules } = spec
  if (tls === undefined) return []
  const problems: FieldProblem[] = []
  const refuse = (path: readonly (string | number)[], message: string): unknown =>
    problems.push({ path: ['spec', ...path], reason: 'Invalid', message })
  if (hostnames.length === 0)
    refuse(
      ['tls'],
      'goes with hostnames: a Route without them owns none, and hosts that nobody names get the default certificate; name the hostnames',
    )
  if (tls.mode === 'Passthrough' && rules[0]?.backendRefs === undefined)
    refuse(
      rules.length === 0 ? ['rules'] : ['rules', 0],
      'must have backendRefs in the first rule, whose backends get the connections with mode: Passthrough',
    )
  if (tls.clientCertificate?.mode !== 'Require') return problems
  const clear =
    'would serve without the client certificate that tls.clientCertificate requires; leave it out, or write Redirect or Closed'
  if (tls.http === 'Serve') refuse(['tls', 'http'], clear)
  for (const [i, { http }] of rules.entries()) if (http === 'Serve') refuse(['rules', i, 'http'], clear)
  return problems
}

/** Rules that nothing reaches: connections that are passed through are not matched. */
export function tlsWarnings({ spec }: Route): FieldProblem[] {
  const { tls, rules } = spec
  if (tls?.mode !== 'Passthrough') return []
  return rules.flatMap(({ name, http = tls.http }, i) =>
    i === 0 || http === 'Serve'
      ? []
      : [
          {
            path: ['spec', 'rules', i],
            reason: 'Invalid' as const,
            message: `rule ${name} gets no request: with mode: Passthrough all connections go to the first rule, and plain HTTP is answered by http: ${http}; remove it, or write http: Serve`,
          },
        ],
  )
}
