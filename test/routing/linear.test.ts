import { matchLinear } from '../../src/routing/linear.ts'
import { routerSuite } from '../suite/router.ts'

routerSuite('slow matcher', (snapshot) => (request) => {
  const found = matchLinear(snapshot, request)
  return typeof found === 'string'
    ? found
    : { key: `${found.rule.route}/${found.rule.rule}`, prefixLength: found.prefixLength }
})
