// A certified OAuth 2 and OpenID provider (oidc-provider) for tests.
//
// The first line on standard output is "listening on http://127.0.0.1:PORT". It
// stops when its standard input ends. argv[2] is JSON: { redirect_uris, access_token_ttl,
// refresh_token_ttl } with lifetimes in seconds.
//
// Whoever is sent to log in is logged in and consents without being asked, so that
// a test follows redirects as a browser would; with login_hint=deny the person
// refuses.
import http from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const require = createRequire(process.env.TOKEND_NODE_MODULES + '/');
const { Provider, errors } = await import(pathToFileURL(require.resolve('oidc-provider')).href);

process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
process.stdin.on('error', () => process.exit(0));

const options = JSON.parse(process.argv[2] ?? '{}');
const redirectURIs = options.redirect_uris ?? ['http://127.0.0.1:8250/callback'];
const accessTTL = options.access_token_ttl ?? 3600;
const refreshTTL = options.refresh_token_ttl ?? 14 * 24 * 3600;

const server = http.createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const interactive = {
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  response_types: ['code'],
  redirect_uris: redirectURIs,
};
const machine = { grant_types: ['client_credentials'], response_types: [], redirect_uris: [] };
const password = { grant_types: ['password', 'refresh_token'], response_types: [], redirect_uris: [] };

const provider = new Provider(issuer, {
  clients: [
    { client_id: 'service', client_secret: 'service-secret', ...machine },
    { client_id: 'service-post', client_secret: 'service-secret', token_endpoint_auth_method: 'client_secret_post', ...machine },
    { client_id: 'web', client_secret: 'web-secret', ...interactive },
    { client_id: 'native', token_endpoint_auth_method: 'none', application_type: 'native', ...interactive },
    { client_id: 'legacy', client_secret: 'legacy-secret', ...password },
  ],
  scopes: ['openid', 'offline_access', 'read', 'write'],
  clientDefaults: { id_token_signed_response_alg: 'RS256' },
  cookies: { keys: ['for tests on loopback only'] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    deviceFlow: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true, allowedPolicy: (ctx, client, token) => token.clientId === client.clientId },
    pushedAuthorizationRequests: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: { enabled: false },
  },
  pkce: { required: (ctx, client) => client.clientId === 'native' },
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  ttl: {
    AccessToken: accessTTL,
    ClientCredentials: accessTTL,
    RefreshToken: refreshTTL,
    Grant: refreshTTL,
    Session: refreshTTL,
    Interaction: 600,
    AuthorizationCode: 60,
    DeviceCode: 600,
    IdToken: accessTTL,
  },
});

// The resource owner password grant (RFC 6749, section 4.3), which the library
// does not bring: alice's password is "wonderland".
provider.registerGrantType('password', async (ctx) => {
  const { params, client } = ctx.oidc;
  if (params.username !== 'alice' || params.password !== 'wonderland') {
    throw new errors.InvalidGrant('wrong user name or password');
  }
  const scope = params.scope ?? 'read';
  const grant = new provider.Grant({ accountId: params.username, clientId: client.clientId });
  grant.addOIDCScope(scope);
  const grantId = await grant.save();
  const common = { accountId: params.username, client, clientId: client.clientId, grantId, scope, gty: 'password' };
  const access = new provider.AccessToken(common);
  const refresh = new provider.RefreshToken({ ...common, rotations: 0 });
  ctx.body = {
    access_token: await access.save(),
    expires_in: access.expiration,
    token_type: access.tokenType,
    refresh_token: await refresh.save(),
    scope,
  };
}, ['username', 'password', 'scope'], []);

// What a person would do in a browser.
async function decide(req, res) {
  const { prompt, params, session } = await provider.interactionDetails(req, res);
  if (params.login_hint === 'deny') {
    return provider.interactionFinished(req, res, { error: 'access_denied', error_description: 'the person said no' });
  }
  if (prompt.name === 'login') {
    return provider.interactionFinished(req, res, { login: { accountId: 'alice' } });
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope(params.scope ?? '');
  return provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

provider.on('server_error', (ctx, err) => console.error(err));

const callback = provider.callback();
server.on('request', (req, res) => {
  if (!req.url.startsWith('/interaction/')) {
    callback(req, res);
    return;
  }
  decide(req, res).catch((err) => {
    console.error(err);
    res.writeHead(500, { 'content-type': 'text/plain' }).end(String(err));
  });
});

console.log(`listening on ${issuer}`);
