import { GatewayError } from '../lib/error.ts'

/** Why no TCP connection to an endpoint came about. @param authority of the endpoint */
export function connectFault(error: NodeJS.ErrnoException, authority: string): GatewayError {
  const code = error.code ?? error.message
  return new GatewayError(code === 'ETIMEDOUT' ? 'ConnectTimeout' : 'ConnectFailure', `${authority}: ${code}`)
}
