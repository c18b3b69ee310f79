/** On the server the package reads its files where npm has put them. */
export default { serverExternalPackages: ['webmamba'] };
